// What is drawn on the map: shapes, numbered pins, the query.

/** In pixels from the upper left corner. @typedef {number[]} Place */

const PIN_RADIUS = 11;

/**
 * An element of a drawing.
 *
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
export function shape(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** Moves a mark, or hides it. @param {SVGElement} mark @param {Place | undefined} place */
export function move(mark, place) {
  mark.classList.toggle("is-nowhere", !place);
  if (place) mark.style.setProperty("transform", `translate(${place[0].toFixed(1)}px, ${place[1].toFixed(1)}px)`);
}

/** @param {number} rank */
export const pinMark = (rank) =>
  shape("g", { class: "map-pin" }, shape("circle", { r: PIN_RADIUS }), shape("text", { y: 4 }, String(rank)));

export const queryMark = () =>
  shape("g", { class: "map-query" }, shape("path", { d: "M0 -9L9 0L0 9L-9 0Z" }), shape("text", { y: -14 }, "query"));

/** Pins that would cover one another are pushed apart a little. @param {Place[]} places */
export function apart(places) {
  const moved = places.map((place) => [...place]);
  for (let round = 0; round < 12; round++) {
    for (const [i, a] of moved.entries()) for (const b of moved.slice(i + 1)) {
      const [dx, dy] = [b[0] - a[0] || 0.1, b[1] - a[1] || 0.1];
      const distance = Math.hypot(dx, dy);
      const push = (2 * PIN_RADIUS + 2 - distance) / 2;
      if (push <= 0) continue;
      const [x, y] = [(dx / distance) * push, (dy / distance) * push];
      [a[0], a[1], b[0], b[1]] = [a[0] - x, a[1] - y, b[0] + x, b[1] + y];
    }
  }
  return moved;
}
