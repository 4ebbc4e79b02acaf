// The line that says how far a worklist is, with a button that stops it and lets it
// go on.

import { announce, find, fromTemplate } from "../ui/dom.js";
import { many, whole } from "../ui/format.js";
import { wordsFor } from "./errors.js";

/** @import { Worklist } from "./worklist.js" */

/**
 * Puts the line in its place; `verb` is what happens to passages, as in "Embedded".
 *
 * @param {HTMLElement} root
 * @param {string} verb
 * @param {Worklist<unknown>} worklist
 */
export function workingLine(root, verb, worklist) {
  find(root, "[data-working]").replaceWith(fromTemplate("working"));
  const words = find(root, ".working-words");
  const progress = find(root, ".working progress", HTMLProgressElement);
  const button = find(root, ".working button");
  button.addEventListener("click", () => {
    if (worklist.state === "running") worklist.stop();
    else worklist.resume();
  });
  let last = "";
  /**
   * `done` is what it says when nothing is missing.
   *
   * @param {string} done
   * @param {boolean} isReady
   */
  return function show(done, isReady) {
    const { state, count, total } = worklist;
    const isMissing = isReady && total > 0 && count < total;
    progress.hidden = !isMissing;
    progress.value = total ? count / total : 0;
    button.hidden = !isMissing;
    button.textContent = state === "running" ? "Stop" : state === "failed" ? "Try again" : "Continue";
    if (!isReady) words.textContent = "Waiting for the model…";
    else if (state === "failed") words.textContent = wordsFor(worklist.error);
    else if (isMissing) words.textContent = `${verb} ${whole(count)} of ${many(total, "passage")}`;
    else words.textContent = total ? done : "There is no text yet.";
    // Not every step of it: only how it ended.
    if (state !== last && state !== "running" && isReady) announce(words.textContent);
    last = state;
  };
}
