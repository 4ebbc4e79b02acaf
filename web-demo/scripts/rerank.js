// Reranking: a model that reads a query and a passage together says how well one
// answers the other.

import { announce, debounced } from "./dom.js";
import { fullBar } from "./bars.js";
import { many, shortened } from "./format.js";
import { Ranking } from "./ranking.js";
import { exampleButtons } from "./search.js";
import { workingLine } from "./working.js";
import { Worklist } from "./worklist.js";

/** Every passage is computed again for each query, so that one waits a little longer. */
const TYPING = 300;

export function rerankPanel(root, meter) {
  let model;
  let passages = [];
  const field = root.querySelector("[name=query]");
  const work = new Worklist(draw);
  const showWork = workingLine(root, "Ranked", work);
  const ranking = new Ranking(root);

  function ask() {
    const query = field.value.trim();
    if (!model || !query) return;
    ranking.fold();
    work.setCompute(async (text, signal) => (await meter.text(model.rerank(query, [text], { signal })))[0].score);
  }

  function draw() {
    const all = passages.map((text, index) => ({ index, text, value: work.result(text) }));
    const hits = all.filter(({ value }) => value !== undefined).sort((a, b) => b.value - a.value);
    ranking.show(hits.length ? hits : all, fullBar(hits.map(({ value }) => value)));
    showWork(`${many(passages.length, "passage")} ranked`, Boolean(model));
    if (work.state !== "idle" || !hits.length) return;
    meter.measureMemory();
    announce(`Best: ${shortened(hits[0].text, 160)}`);
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
