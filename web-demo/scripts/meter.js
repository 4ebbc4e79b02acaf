// Timings and memory of the model in use, and the figures that show them.

import { byId, element } from "./dom.js";
import { bytes, duration } from "./format.js";

const origins = { network: "from the network", cache: "from this browser’s cache", given: "from the file" };

export class Meter {
  #model;
  #load;
  #first;
  #sum = 0;
  #count = 0;
  #memory;
  #isDrawn = false;

  /** Begins for a model that took `time` to load `amount` bytes. */
  begin(model, { time, amount, from }) {
    this.#model = model;
    this.#load = { time, amount, from };
    this.#first = undefined;
    this.#sum = this.#count = 0;
    this.#memory = undefined;
    this.measureMemory();
  }

  /** The result of a computation over one text, whose time is counted. */
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

const rate = (perSecond) => (perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString("en"));

function figure([title, value, note]) {
  return element("div", {}, element("dt", {}, title), element("dd", {}, element("b", {}, value), element("small", {}, note)));
}
