// The line that says how far a worklist is, with a button that stops it and lets it
// go on.

import { announce, fromTemplate } from "./dom.js";
import { many, whole } from "./format.js";
import { wordsFor } from "./errors.js";

/** Puts the line in its place; `verb` is what happens to passages, as in "Embedded". */
export function workingLine(root, verb, worklist) {
  const place = root.querySelector("[data-working]");
  place.replaceWith(fromTemplate("working"));
  const line = root.querySelector(".working");
  const [words, progress, button] = line.children;
  button.addEventListener("click", () => {
    if (worklist.state === "running") worklist.stop();
    else worklist.resume();
  });
  let last;
  /** `done` is what it says when nothing is missing. */
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
