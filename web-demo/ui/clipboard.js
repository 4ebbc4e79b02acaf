// Copying, and saying whether it worked.

import { announce, element } from "./dom.js";

/** How long, in milliseconds, a button says what came of it. */
const SAID_FOR = 1500;

/**
 * A button that copies what `text` gives.
 *
 * @param {string} what
 * @param {() => string} text
 */
export function copyButton(what, text) {
  const button = element("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", () => copy(text(), what, button));
  return button;
}

/**
 * Copies a text; `button` says whether it could.
 *
 * @param {string} text
 * @param {string} what
 * @param {HTMLElement} button
 */
export async function copy(text, what, button) {
  const isCopied = await toClipboard(text);
  button.textContent = isCopied ? "Copied" : "Not copied";
  announce(isCopied ? `Copied ${what}` : `The browser did not let ${what} be copied`);
  setTimeout(() => (button.textContent = "Copy"), SAID_FOR);
}

/** @param {string} text */
async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain http from another machine there is no `navigator.clipboard`.
    return throughSelection(text);
  }
}

/** @param {string} text */
function throughSelection(text) {
  const before = document.activeElement;
  const area = element("textarea", { class: "unseen", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  // Whoever uses the keyboard goes on from the button.
  if (before instanceof HTMLElement) before.focus();
  return isCopied;
}
