// The map: every passage at the place its vector has in the two directions in which
// they differ most. By mouse, touch and arrow keys; the table below it says the same.

import { announce, element } from "../ui/dom.js";
import { many, score } from "../ui/format.js";
import { apart, move, pinMark, queryMark, shape } from "./map-marks.js";
import { neighbours } from "./neighbours.js";
import { shortened } from "./passages.js";
import { principalComponents, project } from "./principal-components.js";

/** @import { Vector } from "../ui/vectors.js" */
/** @import { Place } from "./map-marks.js" */
/** @import { Hit } from "./panel.js" */
/** @import { Components } from "./principal-components.js" */

/**
 * `vectors` has nothing for passages that are not computed yet; `hits` are all that
 * have a score for the `query`, best first.
 *
 * @typedef {{
 *   passages: string[],
 *   vectors: (Vector | undefined)[],
 *   similarity: string | undefined,
 *   query: Vector | undefined,
 *   hits: Hit[],
 * }} Shown
 */

/** Passages with a number on the map, as in the list. */
const PINS = 5;
/** From the edge of the frame, in pixels. */
const MARGIN = 26;
/** How far a pointer may be from a point. */
const REACH = 24;

/** Directions of the arrow keys. @type {Record<string, [x: number, y: number]>} */
const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class PassageMap {
  #frame;
  #svg = shape("svg", { "aria-hidden": "true" });
  #points = shape("g");
  /** Its children, of which there may be thousands: `children` counts them anew each time. */
  /** @type {SVGElement[]} */
  #circles = [];
  #pins;
  #query = queryMark();
  #ring = shape("circle", { class: "map-ring", r: 15 });
  #note = element("div", { class: "map-note", "aria-hidden": "true", hidden: true });
  #caption = element("p", { class: "hint" });
  #table;
  #onPick;
  /** @type {string[]} */
  #passages = [];
  /** @type {(Vector | undefined)[]} */
  #vectors = [];
  /** @type {string | undefined} */
  #similarity;
  #count = 0;
  /** @type {Components | undefined} */
  #components;
  #fittedTo = 0;
  /** @type {(Place | undefined)[]} */
  #places = [];
  /** @type {Hit[]} */
  #hits = [];
  /** @type {Vector | undefined} */
  #queryVector;
  /** @type {number | undefined} */
  #at;
  #observer;

  /**
   * @param {HTMLElement} root
   * @param {(index: number) => void} onPick
   */
  constructor(root, onPick) {
    this.#onPick = onPick;
    this.#pins = Array.from({ length: PINS }, (_, index) => pinMark(index + 1));
    this.#svg.append(this.#points, this.#ring, ...this.#pins, this.#query);
    this.#frame = element("div", { class: "map-frame", tabindex: 0, role: "application", "aria-roledescription": "map" }, this.#svg, this.#note);
    this.#table = neighbours(() => ({ passages: this.#passages, vectors: this.#vectors, similarity: this.#similarity }));
    root.append(this.#frame, this.#caption, this.#table.node);
    this.#listen();
    this.#observer = new ResizeObserver(() => this.#draw());
    this.#observer.observe(this.#frame);
    this.point(undefined);
  }

  end() {
    this.#observer.disconnect();
  }

  /** @param {Shown} shown */
  show({ passages, vectors, similarity, query, hits }) {
    if (passages !== this.#passages) this.#at = undefined;
    this.#queryVector = query;
    this.#hits = query ? hits : [];
    const known = vectors.filter((vector) => vector !== undefined);
    const isSame = passages === this.#passages && known.length === this.#count && vectors[0] === this.#vectors[0];
    [this.#passages, this.#vectors, this.#similarity] = [passages, vectors, similarity];
    this.#count = known.length;
    if (!isSame) this.#fit(known);
    this.#draw();
  }

  /** @param {Vector[]} known */
  #fit(known) {
    // While passages come in, the map is turned only now and then.
    const isComplete = known.length === this.#passages.length;
    const isOfOthers = known[0]?.length !== this.#components?.mean.length || known.length < this.#fittedTo;
    if (known.length < 3) {
      this.#components = undefined;
    } else if (isComplete || isOfOthers || known.length > 1.3 * this.#fittedTo) {
      this.#components = principalComponents(known, this.#components);
      this.#fittedTo = known.length;
    }
    this.#table.close();
  }

  /** Points at a passage, or at none. @param {number | undefined} index */
  point(index, isPicked = false) {
    this.#at = index;
    this.#drawNote();
    if (isPicked && index !== undefined) {
      this.#frame.scrollIntoView({ block: "nearest" });
      this.#say();
    }
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#frame;
    const count = this.#components ? this.#count : 0;
    this.#frame.dataset.points = String(count);
    this.#frame.setAttribute("aria-label", `Map of ${many(count, "passage")}. Arrow keys go from one to the next, Enter shows it in the list.`);
    this.#caption.textContent = this.#components
      ? `Passages with like meaning are near one another. The two directions hold ${Math.round(this.#components.explained * 100)} % of all differences.`
      : this.#passages.length < 3 ? "The map needs three passages." : "Passages appear here as they are embedded.";
    if (!width) return;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#place(width, height);
    this.#drawPoints();
    this.#drawPins();
    this.#drawNote();
  }

  /**
   * Both directions fill the frame: they have no unit that would be the same.
   *
   * @param {number} width
   * @param {number} height
   */
  #place(width, height) {
    const components = this.#components;
    const raw = this.#vectors.map((vector) => vector && components && project(components, vector));
    const scales = [width, height].map((size, axis) => {
      const values = raw.flatMap((place) => place?.[axis] ?? []);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const span = high - low || 1;
      return (/** @type {number} */ value) => MARGIN + (Math.min(Math.max((value - low) / span, 0), 1)) * (size - 2 * MARGIN);
    });
    /** @param {Place | undefined} place */
    const scaled = (place) => place && scales.map((scale, axis) => scale(place[axis]));
    this.#places = raw.map(scaled);
    const query = this.#queryVector;
    const isKnown = components && query?.length === components.mean.length;
    move(this.#query, isKnown ? scaled(project(components, query)) : undefined);
  }

  #drawPoints() {
    while (this.#circles.length > this.#places.length) this.#circles.pop()?.remove();
    while (this.#circles.length < this.#places.length) {
      const circle = shape("circle", { class: "map-point", r: 5 });
      this.#circles.push(circle);
      this.#points.append(circle);
    }
    const [best, worst] = [this.#hits[0]?.value ?? 1, this.#hits.at(-1)?.value ?? 0];
    const heats = new Map(this.#hits.map(({ index, value = 0 }) => [index, (value - worst) / (best - worst || 1)]));
    this.#places.forEach((place, index) => {
      const circle = this.#circles[index];
      move(circle, place);
      if (place) circle.style.setProperty("--heat", this.#queryVector ? ((heats.get(index) ?? 0) ** 1.5).toFixed(3) : "0.6");
    });
  }

  #drawPins() {
    const best = this.#hits.slice(0, PINS).map(({ index }) => this.#places[index]);
    const places = apart(best.filter((place) => place !== undefined));
    this.#pins.forEach((pin, rank) => move(pin, places[rank]));
  }

  #drawNote() {
    const at = this.#at;
    const place = at === undefined ? undefined : this.#places[at];
    move(this.#ring, place);
    this.#note.hidden = !place;
    if (at === undefined || !place) return;
    const { clientWidth: width, clientHeight: height } = this.#frame;
    const hit = this.#hits.find(({ index }) => index === at);
    this.#note.replaceChildren(element("p", {}, shortened(this.#passages[at], 150)),
      element("small", {}, `Passage ${at + 1}${hit?.value !== undefined ? `, similarity ${score(hit.value)}` : ""}`));
    const noteWidth = Math.min(280, width - 16);
    const left = Math.min(Math.max(place[0] - noteWidth / 2, 8), width - noteWidth - 8);
    const isHigh = place[1] < height / 2;
    this.#note.style.setProperty("width", `${noteWidth}px`);
    this.#note.style.setProperty("left", `${left}px`);
    this.#note.style.setProperty("top", isHigh ? `${place[1] + 22}px` : "auto");
    this.#note.style.setProperty("bottom", isHigh ? "auto" : `${height - place[1] + 22}px`);
  }

  #listen() {
    const frame = this.#frame;
    /** @param {MouseEvent} event */
    const nearest = (event) => {
      const box = frame.getBoundingClientRect();
      return this.#nearest([event.clientX - box.left, event.clientY - box.top], REACH);
    };
    frame.addEventListener("pointermove", (event) => this.point(nearest(event)));
    frame.addEventListener("pointerleave", () => this.point(undefined));
    frame.addEventListener("click", (event) => {
      this.point(nearest(event));
      if (this.#at !== undefined) this.#onPick(this.#at);
    });
    frame.addEventListener("blur", () => this.point(undefined));
    frame.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const way = ways[event.key];
    const first = this.#hits[0]?.index ?? this.#places.findIndex(Boolean);
    if (way) this.point(this.#at === undefined ? first : this.#next(this.#at, way));
    else if (event.key === "Home") this.point(first);
    else if (event.key === "Escape") this.point(undefined);
    else if (event.key === "Enter" && this.#at !== undefined) this.#onPick(this.#at);
    else return;
    event.preventDefault();
    this.#say();
  }

  #say() {
    const at = this.#at;
    if (at !== undefined && this.#places[at]) announce(`Passage ${at + 1}: ${shortened(this.#passages[at], 200)}`);
  }

  /** @param {Place} to @param {number} reach */
  #nearest([x, y], reach) {
    /** @type {number | undefined} */
    let found;
    let least = reach;
    this.#places.forEach((place, index) => {
      const distance = place ? Math.hypot(place[0] - x, place[1] - y) : Infinity;
      if (distance < least) [found, least] = [index, distance];
    });
    return found;
  }

  /**
   * The nearest in that direction, or the same; what is aside of it counts as farther.
   *
   * @param {number} at
   * @param {[x: number, y: number]} way
   */
  #next(at, [x, y]) {
    const from = this.#places[at];
    let [found, least] = [at, Infinity];
    this.#places.forEach((place, index) => {
      if (!place || !from || index === at) return;
      const [dx, dy] = [place[0] - from[0], place[1] - from[1]];
      const [along, aside] = [dx * x + dy * y, Math.abs(dx * y) + Math.abs(dy * x)];
      const cost = along + 2 * aside;
      if (along > 0 && aside <= 2 * along && cost < least) [found, least] = [index, cost];
    });
    return found;
  }
}
