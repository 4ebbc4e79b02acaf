// Panels that show the same for what is written in their field, as it is written,
// and for each of the reader's passages.

import { announce, element, find, problem } from "../ui/dom.js";
import { many, whole } from "../ui/format.js";
import { debounced } from "./debounced.js";
import { isDropped, wordsFor } from "./errors.js";
import { workingLine } from "./working.js";
import { Worklist } from "./worklist.js";

/** @import { Encoderfile } from "encoderfile" */
/** @import { Meter } from "./meter.js" */

/**
 * `own`, `each` and `summary` draw the result of the field, of a passage and of all;
 * `said` is the field's in a sentence.
 *
 * @template R
 * @typedef {{
 *   own(text: string, result: R, model: Encoderfile): Node,
 *   each(text: string, result: R, model: Encoderfile): Node,
 *   summary(results: R[], model: Encoderfile): Node,
 *   said(result: R): string,
 * }} Drawing
 */

/**
 * `compute` gives a result for a text; `verb` is what happens to passages.
 *
 * @template R
 * @typedef {{
 *   verb: string,
 *   compute(model: Encoderfile, text: string, signal: AbortSignal): Promise<R>,
 * }} Computing
 */

const TYPING = 120;
const FIRST = 12;
const MORE = 48;

/**
 * @template R
 * @param {HTMLElement} root
 * @param {Meter} meter
 * @param {Computing<R> & Drawing<R>} what
 */
export function eachPanel(root, meter, { verb, compute, own, each, summary, said }) {
  /** @type {Encoderfile | undefined} */
  let model;
  /** @type {string[]} */
  let passages = [];
  let shown = FIRST;
  /** @type {AbortController | undefined} */
  let asking;
  const field = find(root, "[name=text]", HTMLTextAreaElement);
  const [result, list, more] = [".own", ".each", ".more"].map((selector) => find(root, selector));
  /** @type {Worklist<R>} */
  const work = new Worklist(draw);
  /** What each row shows. @type {{ node: HTMLElement, text?: string, found?: R }[]} */
  const rows = [];
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
      if (!isDropped(error, signal)) result.replaceChildren(problem(wordsFor(error)));
    }
  }

  function draw() {
    const texts = passages.slice(0, shown);
    while (rows.length > texts.length) rows.pop()?.node.remove();
    while (rows.length < texts.length) {
      const node = element("li", { tabindex: -1 });
      rows.push({ node });
      list.append(node);
    }
    texts.forEach((text, at) => drawRow(rows[at], text, work.result(text)));
    more.hidden = passages.length <= shown;
    more.textContent = `Show more of ${whole(passages.length)}`;
    const results = work.results(passages);
    find(root, ".summary").replaceChildren(...(model && results.length ? [summary(results, model)] : []));
    showWork(many(passages.length, "passage"), Boolean(model));
    if (work.state !== "running") meter.measureMemory();
  }

  /**
   * Rows that stay the same are left alone.
   *
   * @param {typeof rows[number]} row
   * @param {string} text
   * @param {R | undefined} found
   */
  function drawRow(row, text, found) {
    if (row.text === text && row.found === found) return;
    row.text = text;
    row.found = found;
    row.node.classList.toggle("is-waiting", !found);
    row.node.replaceChildren(found && model ? each(text, found, model) : element("p", {}, text));
  }

  function again() {
    const now = model;
    if (now) work.setCompute((text, signal) => meter.text(compute(now, text, signal)));
    ask();
  }

  field.addEventListener("input", debounced(ask, TYPING));
  find(root, "form").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => {
    const first = shown;
    shown += MORE;
    draw();
    rows[first]?.node.focus();
  });

  return {
    /** To be called when results would be others now. */
    again,
    /** @param {Encoderfile} next */
    setModel(next) {
      model = next;
      again();
    },
    /** @param {string[]} next */
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
