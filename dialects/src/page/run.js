// A tool on the page: its form, its status line, its results, and running it.

import { element, find, fromTemplate, problem } from "../ui/dom.js";
import { duration, many } from "../ui/format.js";
import { FieldProblem } from "./forms.js";
import { cuts } from "./results.js";
import { Refusal, call, withKey } from "./server.js";

/** @import { PredictRequest } from "./answers.js" */
/** @import { toolsOf } from "./tools.js" */
/** @typedef {ReturnType<typeof toolsOf>[number]} Tool */
/** @typedef {Tool & { form: HTMLFormElement, root: HTMLElement, status: HTMLElement, results: HTMLElement }} Panel */

/**
 * Builds the panel of a tool; `changed(panel)` is called when its form says something
 * else.
 *
 * @param {Tool} tool
 * @param {(panel: Panel) => void} changed
 * @returns {Panel}
 */
export function panelOf(tool, changed) {
  const form = find(fromTemplate(`tool-${tool.capability}`), "form", HTMLFormElement);
  form.append(fromTemplate("run"));
  form.noValidate = true;
  if (/Mac|iPhone|iPad/.test(navigator.platform)) find(form, "[data-modifier]").textContent = "⌘";
  const results = element("div", { class: "results", role: "region", "aria-label": "Results" });
  const root = element("div", { id: `panel-${tool.capability}`, class: "tool" }, form, results);
  const panel = { ...tool, form, results, root, status: find(form, ".status") };
  tool.prepare?.(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(panel);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run(panel);
    }
  });
  form.addEventListener("input", () => changed(panel));
  return panel;
}

/** @type {AbortController | undefined} */
let running;

/**
 * Sends what the form says; a run that is still under way is aborted.
 *
 * @param {Panel} tool
 */
async function run(tool) {
  running?.abort();
  const { signal } = (running = new AbortController());
  begin(tool);
  try {
    const body = tool.request(tool.form);
    tool.status.textContent = "Running…";
    const [drawn, words] = await withKey(() => predict(tool, body, signal));
    if (signal.aborted) return;
    tool.results.replaceChildren(...drawn);
    tool.status.textContent = words;
  } catch (error) {
    if (!signal.aborted) complain(tool, error);
  } finally {
    if (!signal.aborted) tool.root.removeAttribute("aria-busy");
  }
}

/** @param {Panel} tool */
function begin(tool) {
  for (const panel of document.querySelectorAll(".tool[aria-busy]")) {
    panel.removeAttribute("aria-busy");
    find(panel, ".status").textContent = "";
  }
  tool.root.setAttribute("aria-busy", "true");
  tool.form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
}

/**
 * @param {Panel} tool
 * @param {PredictRequest} body
 * @param {AbortSignal} signal
 * @returns {Promise<[drawn: Node[], words: string]>}
 */
async function predict(tool, body, signal) {
  const start = performance.now();
  const response = await call("predict", { body, signal });
  const { results } = await response.json();
  const words = [tool.said(results), ...costs(response.headers, performance.now() - start)].join(" · ");
  const texts = body.inputs.map((input) => (typeof input === "string" ? input : input.text));
  const shown = await tool.show(results, texts, signal);
  return [[cuts(results), ...shown].filter((it) => it instanceof Node), words];
}

/** @param {Headers} headers @param {number} elapsed */
function costs(headers, elapsed) {
  const tokens = headers.get("x-compute-tokens");
  const inference = headers.get("x-inference-time");
  return [
    tokens ? many(Number(tokens), "token") : "",
    inference ? `${duration(Number(inference))} in the model` : "",
    `${duration(elapsed)} in all`,
  ].filter(Boolean);
}

/** @param {Panel} tool @param {unknown} error */
function complain(tool, error) {
  if (error instanceof FieldProblem) {
    error.field.setAttribute("aria-invalid", "true");
    error.field.focus();
  }
  const isTold = error instanceof Refusal || error instanceof FieldProblem;
  const words = error instanceof Error ? error.message : String(error);
  tool.status.textContent = "";
  tool.results.replaceChildren(problem(isTold ? words : `The answer could not be shown: ${words}`));
  if (!isTold) console.error(error);
}
