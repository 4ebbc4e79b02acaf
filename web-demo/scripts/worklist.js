// What has been computed for each passage: the missing is computed one after
// another, so that whatever the reader asks meanwhile waits for one passage at most.

import { isDropped } from "./errors.js";

/** How often, in milliseconds, progress is told. */
const TELL_EVERY = 120;

/** Drawing it takes at most one part of so many of the time. */
const SHARE = 8;

/**
 * A result for a text.
 *
 * @template R
 * @typedef {(text: string, signal: AbortSignal) => Promise<R>} Compute
 */

/** @template R */
export class Worklist {
  /** @type {Compute<R> | undefined} */
  #compute;
  /** @type {() => void} */
  #changed;
  /** @type {string[]} */
  #texts = [];
  /** @type {Map<string, R>} */
  #done = new Map();
  /** @type {AbortController | undefined} */
  #stop;
  #told = 0;
  #wait = TELL_EVERY;
  #timer = 0;
  /** `idle`: nothing is missing. @type {"running" | "stopped" | "failed" | "idle"} */
  state = "idle";
  /** What it failed of. @type {unknown} */
  error;

  /**
   * `changed` is called when there is more, but not for every single passage.
   *
   * @param {() => void} changed
   */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * The passages that count; what is known of them is kept.
   *
   * @param {string[]} texts
   */
  setTexts(texts) {
    this.#texts = texts;
    this.#run();
  }

  /**
   * What another one gave is forgotten.
   *
   * @param {Compute<R>} compute
   */
  setCompute(compute) {
    this.#compute = compute;
    this.#done.clear();
    this.#run();
  }

  stop() {
    this.#stop?.abort();
    this.state = "stopped";
    this.#tell();
  }

  resume() {
    this.#run();
  }

  /** Ends it for good. */
  end() {
    this.#stop?.abort();
    clearTimeout(this.#timer);
    this.#changed = () => undefined;
  }

  /** @param {string} text */
  result(text) {
    return this.#done.get(text);
  }

  /**
   * Those that are known.
   *
   * @param {string[]} texts
   */
  results(texts) {
    /** @type {R[]} */
    const known = [];
    for (const text of texts) {
      const result = this.#done.get(text);
      if (result !== undefined) known.push(result);
    }
    return known;
  }

  get total() {
    return this.#texts.length;
  }

  get count() {
    return this.#texts.reduce((count, text) => count + Number(this.#done.has(text)), 0);
  }

  async #run() {
    this.#stop?.abort();
    if (!this.#compute) return;
    const { signal } = (this.#stop = new AbortController());
    this.#forgetOthers();
    this.state = "running";
    this.#tell();
    try {
      for (const text of this.#texts) {
        if (this.#done.has(text)) continue;
        const result = await this.#compute(text, signal);
        if (signal.aborted) return;
        this.#done.set(text, result);
        if (performance.now() - this.#told > this.#wait) this.#tell();
      }
      this.state = "idle";
    } catch (error) {
      if (isDropped(error, signal)) return;
      this.state = "failed";
      this.error = error;
    }
    this.#tell();
  }

  /** Results of passages that are gone help when they come back, but not forever. */
  #forgetOthers() {
    if (this.#done.size < 2 * this.#texts.length + 1000) return;
    const wanted = new Set(this.#texts);
    for (const text of this.#done.keys()) if (!wanted.has(text)) this.#done.delete(text);
  }

  #tell() {
    clearTimeout(this.#timer);
    this.#told = performance.now();
    this.#timer = setTimeout(() => {
      const start = performance.now();
      this.#changed();
      this.#wait = Math.max(TELL_EVERY, SHARE * (performance.now() - start));
    });
  }
}
