// Reranking: a model that reads a query and a passage together, or compares the vectors of
// their tokens, says how well one answers the other.

import { fullBar } from "../ui/bars.js";
import { announce, find } from "../ui/dom.js";
import { many } from "../ui/format.js";
import { debounced } from "./debounced.js";
import { shortened } from "./passages.js";
import { Ranking } from "./ranking.js";
import { exampleButtons } from "./search.js";
import { workingLine } from "./working.js";
import { Worklist } from "./worklist.js";

/** @import { Encoderfile } from "encoderfile" */
/** @import { StartPanel } from "./panel.js" */

/** Every passage is computed again for each query, so that one waits a little longer. */
const TYPING = 300;

/** @type {StartPanel} */
export function rerankPanel(root, meter) {
  /** @type {Encoderfile | undefined} */
  let model;
  /** @type {string[]} */
  let passages = [];
  const field = find(root, "[name=query]", HTMLInputElement);
  /** @type {Worklist<number>} */
  const work = new Worklist(draw);
  const showWork = workingLine(root, "Ranked", work);
  const ranking = new Ranking(root);

  function ask() {
    const query = field.value.trim();
    const now = model;
    if (!now || !query) return;
    ranking.fold();
    work.setCompute(async (text, signal) => (await meter.text(now.rerank(query, [text], { signal })))[0].score);
  }

  function draw() {
    const all = passages.map((text, index) => ({ index, text, value: work.result(text) }));
    const hits = all.flatMap(({ value, ...hit }) => (value === undefined ? [] : [{ ...hit, value }])).sort((a, b) => b.value - a.value);
    ranking.show(hits.length ? hits : all, fullBar(hits.map(({ value }) => value)));
    showWork(`${many(passages.length, "passage")} ranked`, Boolean(model));
    if (work.state !== "idle" || !hits.length) return;
    meter.measureMemory();
    announce(`Best: ${shortened(hits[0].text, 160)}`);
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
      ask();
    },
    setPassages(next) {
      passages = next;
      work.setTexts(next);
      draw();
    },
    end: () => work.end(),
  };
}
