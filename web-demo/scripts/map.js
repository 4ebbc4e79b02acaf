// The map: every passage at the place its vector has in the two directions in which
// they differ most. By mouse, touch and arrow keys; the table below it says the same.

import { announce, element, shape } from "./dom.js";
import { many, score, shortened } from "./format.js";
import { neighbours } from "./neighbours.js";
import { principalComponents, project } from "./vectors.js";

/** Passages with a number on the map, as in the list. */
const PINS = 5;
const PIN_RADIUS = 11;
/** From the edge of the frame, in pixels. */
const MARGIN = 26;
/** How far a pointer may be from a point. */
const REACH = 24;

export class PassageMap {
  #frame;
  #svg = shape("svg", { "aria-hidden": "true" });
  #points = shape("g");
  /** Its children, of which there may be thousands: `children` counts them anew each time. */
  #circles = [];
  #pins;
  #query = queryMark();
  #ring = shape("circle", { class: "map-ring", r: 15 });
  #note = element("div", { class: "map-note", "aria-hidden": "true", hidden: true });
  #caption = element("p", { class: "hint" });
  #table;
  #onPick;
  #passages = [];
  #vectors = [];
  #count = 0;
  #components;
  #fittedTo = 0;
  #places = [];
  #hits = [];
  #queryVector;
  #at;
  #observer;

  constructor(root, onPick) {
    this.#onPick = onPick;
    this.#pins = Array.from({ length: PINS }, (_, index) => pinMark(index + 1));
    this.#svg.append(this.#points, this.#ring, ...this.#pins, this.#query);
    this.#frame = element("div", { class: "map-frame", tabindex: 0, role: "application", "aria-roledescription": "map" }, this.#svg, this.#note);
    this.#table = neighbours(() => [this.#passages, this.#vectors, this.similarity]);
    root.append(this.#frame, this.#caption, this.#table.node);
    this.#listen();
    this.#observer = new ResizeObserver(() => this.#draw());
    this.#observer.observe(this.#frame);
    this.point(undefined);
  }

  end() {
    this.#observer.disconnect();
  }

  /**
   * `vectors` has nothing for passages that are not computed yet; `hits` are all
   * that have a score for the `query`, best first.
   */
  show({ passages, vectors, similarity, query, hits }) {
    if (passages !== this.#passages) this.#at = undefined;
    this.#queryVector = query;
    this.#hits = query ? hits : [];
    const known = vectors.filter(Boolean);
    const isSame = passages === this.#passages && known.length === this.#count && vectors[0] === this.#vectors[0];
    [this.#passages, this.#vectors, this.similarity] = [passages, vectors, similarity];
    this.#count = known.length;
    if (!isSame) this.#fit(known);
    this.#draw();
  }

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

  /** Points at a passage, or at none. */
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
    this.#frame.dataset.points = count;
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

  /** Both directions fill the frame: they have no unit that would be the same. */
  #place(width, height) {
    const raw = this.#vectors.map((vector) => vector && this.#components && project(this.#components, vector));
    const scales = [width, height].map((size, axis) => {
      const values = raw.filter(Boolean).map((place) => place[axis]);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const span = high - low || 1;
      return (value) => MARGIN + (Math.min(Math.max((value - low) / span, 0), 1)) * (size - 2 * MARGIN);
    });
    const scaled = (place) => place && scales.map((scale, axis) => scale(place[axis]));
    this.#places = raw.map(scaled);
    const isKnown = this.#components && this.#queryVector?.length === this.#components.mean.length;
    move(this.#query, isKnown ? scaled(project(this.#components, this.#queryVector)) : undefined);
  }

  #drawPoints() {
    while (this.#circles.length > this.#places.length) this.#circles.pop().remove();
    while (this.#circles.length < this.#places.length) {
      const circle = shape("circle", { class: "map-point", r: 5 });
      this.#circles.push(circle);
      this.#points.append(circle);
    }
    const [best, worst] = [this.#hits[0]?.value ?? 1, this.#hits.at(-1)?.value ?? 0];
    const heats = new Map(this.#hits.map(({ index, value }) => [index, (value - worst) / (best - worst || 1)]));
    this.#places.forEach((place, index) => {
      const circle = this.#circles[index];
      move(circle, place);
      if (place) circle.style.setProperty("--heat", this.#queryVector ? ((heats.get(index) ?? 0) ** 1.5).toFixed(3) : 0.6);
    });
  }

  #drawPins() {
    const best = this.#hits.slice(0, PINS).filter(({ index }) => this.#places[index]);
    const places = apart(best.map(({ index }) => this.#places[index]));
    this.#pins.forEach((pin, rank) => move(pin, places[rank]));
  }

  #drawNote() {
    const place = this.#places[this.#at];
    move(this.#ring, place);
    this.#note.hidden = !place;
    if (!place) return;
    const { clientWidth: width, clientHeight: height } = this.#frame;
    const hit = this.#hits.find(({ index }) => index === this.#at);
    this.#note.replaceChildren(element("p", {}, shortened(this.#passages[this.#at], 150)),
      element("small", {}, `Passage ${this.#at + 1}${hit ? `, similarity ${score(hit.value)}` : ""}`));
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

  #key(event) {
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const first = this.#hits[0]?.index ?? this.#places.findIndex(Boolean);
    if (ways[event.key]) this.point(this.#at === undefined ? first : this.#next(ways[event.key]) ?? this.#at);
    else if (event.key === "Home") this.point(first);
    else if (event.key === "Escape") this.point(undefined);
    else if (event.key === "Enter" && this.#at !== undefined) this.#onPick(this.#at);
    else return;
    event.preventDefault();
    this.#say();
  }

  #say() {
    if (this.#places[this.#at]) announce(`Passage ${this.#at + 1}: ${shortened(this.#passages[this.#at], 200)}`);
  }

  #nearest([x, y], reach) {
    let [found, least] = [undefined, reach];
    this.#places.forEach((place, index) => {
      const distance = place ? Math.hypot(place[0] - x, place[1] - y) : Infinity;
      if (distance < least) [found, least] = [index, distance];
    });
    return found;
  }

  /** The nearest in that direction; what is aside of it counts as farther. */
  #next([x, y]) {
    const from = this.#places[this.#at];
    let [found, least] = [undefined, Infinity];
    this.#places.forEach((place, index) => {
      if (!place || index === this.#at) return;
      const [dx, dy] = [place[0] - from[0], place[1] - from[1]];
      const [along, aside] = [dx * x + dy * y, Math.abs(dx * y) + Math.abs(dy * x)];
      const cost = along + 2 * aside;
      if (along > 0 && aside <= 2 * along && cost < least) [found, least] = [index, cost];
    });
    return found;
  }
}

/** Moves a mark, or hides it. */
function move(mark, place) {
  mark.classList.toggle("is-nowhere", !place);
  if (place) mark.style.setProperty("transform", `translate(${place[0].toFixed(1)}px, ${place[1].toFixed(1)}px)`);
}

const pinMark = (rank) =>
  shape("g", { class: "map-pin" }, shape("circle", { r: PIN_RADIUS }), shape("text", { y: 4 }, String(rank)));

const queryMark = () =>
  shape("g", { class: "map-query" }, shape("path", { d: "M0 -9L9 0L0 9L-9 0Z" }), shape("text", { y: -14 }, "query"));

/** Pins that would cover one another are pushed apart a little. */
function apart(places) {
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
