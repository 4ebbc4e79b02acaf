// Panels that show the same for what is written in their field, as it is written,
// and for each of the reader's passages.

import { announce, debounced, element } from "./dom.js";
import { wordsFor } from "./errors.js";
import { many } from "./format.js";
import { workingLine } from "./working.js";
import { Worklist } from "./worklist.js";

const TYPING = 120;
const FIRST = 12;
const MORE = 48;

/**
 * `compute(model, text, signal)` gives a result for a text; `own`, `each` and
 * `summary` draw that of the field, of a passage (`(text, result, model)` both) and
 * of all (`(results, model)`); `said` is the field's in a sentence.
 */
export function eachPanel(root, meter, { verb, compute, own, each, summary, said }) {
  let model;
  let passages = [];
  let shown = FIRST;
  let asking;
  const field = root.querySelector("[name=text]");
  const [result, list, more] = [".own", ".each", ".more"].map((selector) => root.querySelector(selector));
  const work = new Worklist(draw);
  const showWork = workingLine(root, verb, work);

  async function ask() {
    asking?.abort();
    const { signal } = (asking = new AbortController());
    const text = field.value;
    if (!model) return;
    if (!text.trim()) return result.replaceChildren();
    try {
      const found = await compute(model, text, signal);
      result.replaceChildren(own(text, found, model));
      announce(said(found));
    } catch (error) {
      if (signal.aborted || error.code === "disposed") return;
      result.replaceChildren(element("p", { class: "problem", role: "alert" }, wordsFor(error)));
    }
  }

  function draw() {
    const texts = passages.slice(0, shown);
    while (list.childElementCount > texts.length) list.lastElementChild.remove();
    while (list.childElementCount < texts.length) list.append(element("li", { tabindex: -1 }));
    texts.forEach((text, at) => drawRow(list.children[at], text, work.result(text)));
    more.hidden = passages.length <= shown;
    more.textContent = `Show more of ${passages.length}`;
    const results = passages.map((text) => work.result(text)).filter(Boolean);
    root.querySelector(".summary").replaceChildren(...(results.length ? [summary(results, model)] : []));
    showWork(many(passages.length, "passage"), Boolean(model));
    if (work.state !== "running") meter.measureMemory();
  }

  /** Rows that stay the same are left alone. */
  function drawRow(row, text, found) {
    if (row.shownText === text && row.shownResult === found) return;
    row.shownText = text;
    row.shownResult = found;
    row.classList.toggle("is-waiting", !found);
    row.replaceChildren(found ? each(text, found, model) : element("p", {}, text));
  }

  function again() {
    if (model) work.setCompute((text, signal) => meter.text(compute(model, text, signal)));
    ask();
  }

  field.addEventListener("input", debounced(ask, TYPING));
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => {
    const first = shown;
    shown += MORE;
    draw();
    list.children[first]?.focus();
  });

  return {
    /** To be called when results would be others now. */
    again,
    setModel(next) {
      model = next;
      again();
    },
    setPassages(next) {
      passages = next;
      work.setTexts(next);
      draw();
    },
    end() {
      asking?.abort();
      work.end();
    },
  };
}
