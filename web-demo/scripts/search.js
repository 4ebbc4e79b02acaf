// Semantic search: the passages as vectors, the query as one more, and what is
// closest, in a list and on a map.

import { announce, debounced, element } from "./dom.js";
import { wordsFor } from "./errors.js";
import { duration, many, shortened } from "./format.js";
import { PassageMap } from "./map.js";
import { Ranking } from "./ranking.js";
import { QUERIES } from "./sample.js";
import { similarityNamed } from "./vectors.js";
import { workingLine } from "./working.js";
import { Worklist } from "./worklist.js";

/** A letter more usually follows sooner. */
const TYPING = 60;

/** Readers of screens hear of results when somebody has stopped writing. */
const SAID_AFTER = 900;

export function searchPanel(root, meter) {
  let model;
  let passages = [];
  let query;
  let asking;
  const field = root.querySelector("[name=query]");
  const work = new Worklist(draw);
  const showWork = workingLine(root, "Embedded", work);
  const ranking = new Ranking(root, (index, isPicked) => map.point(index, isPicked));
  const map = new PassageMap(root.querySelector(".map"), (index) => ranking.pick(index));
  const say = debounced(() => {
    const [best] = query ? ranked() : [];
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
      if (signal.aborted || error.code === "disposed") return;
      query = undefined;
      draw();
      announce(wordsFor(error));
    }
  }

  function ranked() {
    const similarity = similarityNamed(model.info.similarity);
    return passages
      .map((text, index) => ({ index, text, vector: work.result(text) }))
      .filter(({ vector }) => vector)
      .map((hit) => ({ ...hit, value: similarity(query.vector, hit.vector) }))
      .sort((a, b) => b.value - a.value);
  }

  function draw() {
    const hits = query ? ranked() : passages.map((text, index) => ({ index, text }));
    root.querySelector("#hits-title").textContent = query ? "Closest passages" : "Passages";
    ranking.show(hits, query ? fullBar(hits) : 1);
    const vectors = passages.map((text) => work.result(text));
    map.show({ passages, vectors, similarity: model?.info.similarity, query: query?.vector, hits });
    const time = query ? ` searched in ${duration(query.time)}` : " embedded";
    showWork(`${many(passages.length, "passage")}${time}`, Boolean(model));
    if (work.state !== "running") meter.measureMemory();
  }

  field.addEventListener("input", debounced(ask, TYPING));
  root.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  root.querySelector(".examples").append(...exampleButtons(field, ask));

  return {
    setModel(next) {
      model = next;
      query = undefined;
      work.setCompute((text, signal) => meter.text(model.embed(text, { role: "document", signal })));
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

/** Queries to try. */
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

/** What fills a bar: 1 for cosines, for others the best. */
function fullBar(hits) {
  const best = hits[0]?.value ?? 1;
  return best <= 1.0001 ? 1 : best;
}
