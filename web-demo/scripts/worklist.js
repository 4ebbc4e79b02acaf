// What has been computed for each passage: the missing is computed one after
// another, so that whatever the reader asks meanwhile waits for one passage at most.

/** How often, in milliseconds, progress is told. */
const TELL_EVERY = 120;

/** Drawing it takes at most one part of so many of the time. */
const SHARE = 8;

export class Worklist {
  #compute;
  #changed;
  #texts = [];
  #done = new Map();
  #stop;
  #told = 0;
  #wait = TELL_EVERY;
  #timer;
  /** "running", "stopped" by the reader, "failed", or "idle": nothing is missing. */
  state = "idle";
  /** What it failed of. */
  error;

  /** `changed` is called when there is more, but not for every single passage. */
  constructor(changed) {
    this.#changed = changed;
  }

  /** The passages that count; what is known of them is kept. */
  setTexts(texts) {
    this.#texts = texts;
    this.#run();
  }

  /** `compute(text, signal)` gives the result for a text; what others gave is forgotten. */
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

  result(text) {
    return this.#done.get(text);
  }

  get total() {
    return this.#texts.length;
  }

  get count() {
    return this.#texts.reduce((count, text) => count + this.#done.has(text), 0);
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
      if (signal.aborted || error.code === "disposed") return;
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
