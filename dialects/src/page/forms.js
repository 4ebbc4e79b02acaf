// Reading the forms: what a request needs, and what is wrong with a field.

import { element, find } from "../ui/dom.js";
import { many } from "../ui/format.js";

/** @import { FileInfo } from "./answers.js" */
/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Field */

/** A field that the request cannot do without, or that says what it cannot. */
export class FieldProblem extends Error {
  /**
   * @param {Field} field
   * @param {string} message
   */
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/**
 * @param {HTMLFormElement} form
 * @param {string} name
 */
export const field = (form, name) => /** @type {Field} */ (form.elements.namedItem(name));

/** @param {HTMLFormElement} form @param {string} name */
export const isChecked = (form, name) => find(form, `[name=${name}]`, HTMLInputElement).checked;

/**
 * The text of a field that must have one.
 *
 * @param {HTMLFormElement} form
 * @param {string} name
 * @param {string} message
 */
export function needed(form, name, message) {
  const { value } = field(form, name);
  if (!value.trim()) throw new FieldProblem(field(form, name), message);
  return value;
}

/**
 * The lines of a field that must have some, of which the server takes only so many.
 *
 * @param {HTMLFormElement} form
 * @param {string} name
 * @param {string} message
 * @param {number} most
 */
export function neededLines(form, name, message, most) {
  const lines = needed(form, name, message).split("\n").map((line) => line.trim()).filter(Boolean);
  if (most && lines.length > most) {
    throw new FieldProblem(field(form, name), `${many(lines.length, "line")}: this server takes ${most} at once.`);
  }
  return lines;
}

/** What stands between commas. @param {string} text */
export const listed = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

/**
 * A whole number as the part of the request that has it; nothing if it is not said.
 *
 * @param {HTMLFormElement} form
 * @param {string} name
 */
export function positive(form, name) {
  const input = field(form, name);
  if (!input.value && !input.validity.badInput) return {};
  if (!input.validity.valid) {
    const title = input.labels?.[0]?.firstChild?.textContent?.trim() ?? name;
    throw new FieldProblem(input, `${title}: a whole number of at least 1.`);
  }
  return { [name]: Number(input.value) };
}

/**
 * The part of the request that makes the prompt that was chosen.
 *
 * @param {HTMLFormElement} form
 * @returns {object}
 */
export const chosenPrompt = (form) => JSON.parse(field(form, "prompt").value || "{}");

/**
 * @param {HTMLFormElement} form
 * @param {FileInfo} info
 */
export function fillPrompts(form, { prompts = {}, default_prompt: usual }) {
  const names = Object.keys(prompts);
  if (!names.length) return;
  /** @param {string} title @param {object} part */
  const option = (title, part) => element("option", { value: JSON.stringify(part) }, title);
  field(form, "prompt").append(
    option(`The model’s default (${usual ?? "none"})`, {}),
    element("optgroup", { label: "By role" },
      option("Queries", { role: "query" }), option("Documents", { role: "document" })),
    element("optgroup", { label: "By name" },
      ...names.map((name) => option(`${name}: “${prompts[name]}”`, { prompt_name: name })), option("None", { prompt: "" })));
  find(form, "[data-prompts]").hidden = false;
}
