// Timings and memory of the model in use, and the figures that show them.

import { byId, element } from "../ui/dom.js";
import { bytes, duration, whole } from "../ui/format.js";

/** @import { Encoderfile, Origin } from "encoderfile" */

/** What was loaded, from where, and how long it took. @typedef {{ time: number, amount: number, from: Origin }} Figures */

/** @type {Record<Origin, string>} */
export const origins = { network: "from the network", cache: "from this browser’s cache", given: "from the file" };

export class Meter {
  /** @type {Encoderfile | undefined} */
  #model;
  /** @type {Figures} */
  #load = { time: 0, amount: 0, from: "given" };
  /** @type {number | undefined} */
  #first;
  #sum = 0;
  #count = 0;
  /** @type {number | undefined} */
  #memory;
  #isDrawn = false;

  /**
   * Begins for another model.
   *
   * @param {Encoderfile} model
   * @param {Figures} load
   */
  begin(model, load) {
    this.#model = model;
    this.#load = load;
    this.#first = undefined;
    this.#sum = this.#count = 0;
    this.#memory = undefined;
    this.measureMemory();
  }

  /**
   * The result of a computation over one text, whose time is counted.
   *
   * @template R
   * @param {Promise<R>} compute
   */
  async text(compute) {
    const start = performance.now();
    const result = await compute;
    const time = performance.now() - start;
    // The first one also grows the memory and is compiled further.
    if (this.#first === undefined) this.#first = time;
    else {
      this.#sum += time;
      this.#count += 1;
    }
    this.#draw();
    return result;
  }

  async measureMemory() {
    const model = this.#model;
    const memory = await model?.memory().catch(() => undefined);
    if (!model || model !== this.#model) return;
    this.#memory = memory;
    this.#draw();
  }

  /** Many texts are drawn once. */
  #draw() {
    if (this.#isDrawn) return;
    this.#isDrawn = true;
    setTimeout(() => {
      this.#isDrawn = false;
      byId("timings").replaceChildren(...this.#figures().map(figure));
    }, 100);
  }

  /** @returns {[title: string, value: string, note: string][]} */
  #figures() {
    const { time, amount, from } = this.#load;
    const each = this.#count ? this.#sum / this.#count : undefined;
    return [
      ["Load", duration(time), `${bytes(amount)} ${origins[from]}`],
      ["Memory", this.#memory === undefined ? "–" : bytes(this.#memory), "of the model’s worker"],
      ["First text", this.#first === undefined ? "–" : duration(this.#first), "warming up"],
      ["Per text", each === undefined ? "–" : duration(each), each ? `${rate(1000 / each)} passages/s` : "on average"],
    ];
  }
}

/** @param {number} perSecond */
const rate = (perSecond) => (perSecond < 10 ? perSecond.toFixed(1) : whole(Math.round(perSecond)));

/** @param {[title: string, value: string, note: string]} figure */
function figure([title, value, note]) {
  return element("div", {}, element("dt", {}, title), element("dd", {}, element("b", {}, value), element("small", {}, note)));
}
