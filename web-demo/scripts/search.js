// Semantic search: the passages as vectors, the query as one more, and what is
// closest, in a list and on a map.

import { announce, element, find } from "../ui/dom.js";
import { duration, many } from "../ui/format.js";
import { similarityNamed } from "../ui/vectors.js";
import { debounced } from "./debounced.js";
import { isDropped, wordsFor } from "./errors.js";
import { PassageMap } from "./map.js";
import { shortened } from "./passages.js";
import { Ranking } from "./ranking.js";
import { QUERIES } from "./sample.js";
import { workingLine } from "./working.js";
import { Worklist } from "./worklist.js";

/** @import { Encoderfile } from "encoderfile" */
/** @import { Hit, StartPanel } from "./panel.js" */
/** @typedef {{ vector: Float32Array, time: number }} Query */

/** A letter more usually follows sooner. */
const TYPING = 60;

/** Readers of screens hear of results when somebody has stopped writing. */
const SAID_AFTER = 900;

/** @type {StartPanel} */
export function searchPanel(root, meter) {
  /** @type {Encoderfile | undefined} */
  let model;
  /** @type {string[]} */
  let passages = [];
  /** @type {Query | undefined} */
  let query;
  /** @type {AbortController | undefined} */
  let asking;
  const field = find(root, "[name=query]", HTMLInputElement);
  /** @type {Worklist<Float32Array>} */
  const work = new Worklist(draw);
  const showWork = workingLine(root, "Embedded", work);
  const ranking = new Ranking(root, (index, isPicked) => map.point(index, isPicked));
  const map = new PassageMap(find(root, ".map"), (index) => ranking.pick(index));
  const say = debounced(() => {
    const [best] = query ? ranked(query) : [];
    if (best) announce(`Closest: ${shortened(best.text, 160)}`);
  }, SAID_AFTER);

  /** The vector of what stands in the field now; whatever was asked before is dropped. */
  async function ask() {
    asking?.abort();
    const { signal } = (asking = new AbortController());
    const text = field.value.trim();
    if (!model || !text) {
      query = undefined;
      return draw();
    }
    const start = performance.now();
    try {
      const vector = await model.embed(text, { role: "query", signal });
      query = { vector, time: performance.now() - start };
      ranking.fold();
      draw();
      say();
    } catch (error) {
      if (isDropped(error, signal)) return;
      query = undefined;
      draw();
      announce(wordsFor(error));
    }
  }

  /** @param {Query} query */
  function ranked({ vector: wanted }) {
    const similarity = similarityNamed(model?.info.similarity);
    const hits = passages.flatMap((text, /** @type {number} */ index) => {
      const vector = work.result(text);
      return vector ? [{ index, text, value: similarity(wanted, vector) }] : [];
    });
    return hits.sort((a, b) => b.value - a.value);
  }

  function draw() {
    /** @type {Hit[]} */
    const hits = query ? ranked(query) : passages.map((text, index) => ({ index, text }));
    find(root, "#hits-title").textContent = query ? "Closest passages" : "Passages";
    ranking.show(hits, query ? fullBar(hits) : 1);
    const vectors = passages.map((text) => work.result(text));
    map.show({ passages, vectors, similarity: model?.info.similarity, query: query?.vector, hits });
    const time = query ? ` searched in ${duration(query.time)}` : " embedded";
    showWork(`${many(passages.length, "passage")}${time}`, Boolean(model));
    if (work.state !== "running") meter.measureMemory();
  }

  field.addEventListener("input", debounced(ask, TYPING));
  find(root, "form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  find(root, ".examples").append(...exampleButtons(field, ask));

  return {
    setModel(next) {
      model = next;
      query = undefined;
      work.setCompute((text, signal) => meter.text(next.embed(text, { role: "document", signal })));
      ask();
    },
    setPassages(next) {
      passages = next;
      work.setTexts(next);
      draw();
    },
    end() {
      asking?.abort();
      work.end();
      map.end();
    },
  };
}

/**
 * Queries to try.
 *
 * @param {HTMLInputElement} field
 * @param {() => void} ask
 */
export function exampleButtons(field, ask) {
  return QUERIES.map((words) =>
    element("button", {
      type: "button",
      onclick: () => {
        field.value = words;
        ask();
      },
    }, words));
}

/** What fills a bar: 1 for cosines, for others the best. @param {Hit[]} hits */
function fullBar(hits) {
  const best = hits[0]?.value ?? 1;
  return best <= 1.0001 ? 1 : best;
}
