// Files from outside: dropped anywhere on the page, or chosen. Tells texts from
// models by what is in them.

import { byId } from "../ui/dom.js";

/** The first bytes of the last 32 of every encoderfile. */
const MAGIC = "ENCFILE\0";
const FOOTER_LEN = 32;

/** What shows whether a file is text. */
const HEAD_LEN = 1 << 16;

/** @param {File} file */
const isNamedAsText = ({ name, type }) => /\.(txt|text|md|markdown)$/i.test(name) || type.startsWith("text/");

/** Whether a file is a model, or at least no text. @param {File} file */
export async function isModel(file) {
  const footer = await file.slice(Math.max(file.size - FOOTER_LEN, 0)).arrayBuffer();
  if (new TextDecoder("latin1").decode(footer).startsWith(MAGIC)) return true;
  if (isNamedAsText(file)) return false;
  const head = new Uint8Array(await file.slice(0, HEAD_LEN).arrayBuffer());
  return head.includes(0) || !isUtf8(head);
}

/** A character may be cut at the end, which a stream allows. @param {Uint8Array} bytes */
function isUtf8(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** The text of a file; what is not UTF-8 is taken for an old Western encoding. @param {File} file */
export async function textOf(file) {
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Calls `take(files)` with whatever is dropped on the page. @param {(files: File[]) => void} take */
export function onDrop(take) {
  /** @param {DragEvent} event */
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const overlay = byId("drop");
  addEventListener("dragenter", (event) => {
    if (holdsFiles(event)) overlay.hidden = false;
  });
  addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  // The overlay covers everything, so that leaving it is leaving the page.
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) overlay.hidden = true;
  });
  addEventListener("drop", (event) => {
    overlay.hidden = true;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    take([...(event.dataTransfer?.files ?? [])]);
  });
}

/**
 * Makes a button open a hidden file field; `take(files)` gets what was chosen.
 *
 * @param {HTMLElement} button
 * @param {HTMLInputElement} field
 * @param {(files: File[]) => void} take
 */
export function onChoice(button, field, take) {
  button.addEventListener("click", () => field.click());
  field.addEventListener("change", () => {
    const files = [...(field.files ?? [])];
    // The same file may be chosen again.
    field.value = "";
    if (files.length) take(files);
  });
}
