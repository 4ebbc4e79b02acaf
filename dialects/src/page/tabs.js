// Tabs by the pattern of the WAI-ARIA practices: one stop for the keyboard, within
// which arrows move.

import { element } from "../ui/dom.js";

/** @type {Record<string, number>} */
const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

/**
 * Fills `list` with a tab for each title; `chosen(index, tab)` is told which. Gives
 * what selects one.
 *
 * @param {HTMLElement} list
 * @param {string[]} titles
 * @param {HTMLElement[]} panels
 * @param {(index: number, tab: HTMLElement) => void} chosen
 */
export function tabs(list, titles, panels, chosen) {
  /** @param {number} index */
  const select = (index) => {
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", String(at === index));
      button.tabIndex = at === index ? 0 : -1;
    });
    chosen(index, buttons[index]);
  };
  const buttons = titles.map((title, index) =>
    element("button", {
      type: "button",
      role: "tab",
      id: `${list.id}-${index}`,
      "aria-controls": panels[index].id,
      onclick: () => select(index),
    }, title));
  list.onkeydown = (event) => {
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const now = buttons.findIndex((button) => button === document.activeElement);
    const last = buttons.length - 1;
    const next = Number.isFinite(move) ? (now + move + buttons.length) % buttons.length : move < 0 ? 0 : last;
    buttons[next].focus();
    select(next);
  };
  list.replaceChildren(...buttons);
  return select;
}
