/**
 * Calls on their way to engines: each engine computes one at a time, and calls
 * wait in the order they came.
 *
 * @module
 */

import { aborted } from "./abort.js";
import type { Engine } from "./engine.js";
import { EncoderfileError } from "./error.js";
import type { Call, Result } from "./instance.js";

interface Job {
  call: Call;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
  /** Stops listening to its signal. */
  detach: () => void;
}

export class Pool {
  readonly engines: readonly Engine[];
  #idle: Engine[];
  #jobs: Job[] = [];
  #disposed = false;

  constructor(engines: Engine[]) {
    this.engines = engines;
    this.#idle = [...engines];
  }

  /** The result of a call; rejected as soon as the signal is aborted. */
  run(call: Call, signal?: AbortSignal): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#disposed) return reject(disposed());
      if (signal?.aborted) return reject(aborted(signal));
      // A call that has begun is computed to its end, but nobody waits for it.
      const onAbort = () => {
        this.#jobs = this.#jobs.filter((other) => other !== job);
        reject(aborted(signal!));
      };
      const detach = () => signal?.removeEventListener("abort", onAbort);
      const job: Job = { call, resolve, reject, detach };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#jobs.push(job);
      this.#next();
    });
  }

  /** Ends all engines; what was waiting is rejected. */
  dispose(): void {
    this.#disposed = true;
    for (const engine of this.engines) engine.end();
    for (const { reject, detach } of this.#jobs.splice(0)) {
      detach();
      reject(disposed());
    }
  }

  #next(): void {
    if (this.#jobs.length === 0) return;
    const engine = this.#idle.pop();
    if (engine === undefined) return;
    const { call, resolve, reject, detach } = this.#jobs.shift()!;
    engine
      .call(call)
      .then(resolve, reject)
      .finally(() => {
        detach();
        this.#idle.push(engine);
        this.#next();
      });
  }
}

function disposed(): EncoderfileError {
  return new EncoderfileError("disposed", "this model was disposed");
}
