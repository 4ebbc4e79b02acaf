/**
 * Calls on their way to engines: each engine computes one at a time, and calls
 * wait in the order they came.
 *
 * @module
 */

import type { Group } from "./abort.js";
import type { Engine } from "./engine.js";
import { EncoderfileError } from "./error.js";
import type { Call, Result } from "./instance.js";

interface Job {
  call: Call;
  group: Group;
  resolve: (result: Result) => void;
  reject: (error: EncoderfileError) => void;
}

export class Pool {
  readonly engines: readonly Engine[];
  #idle: Engine[];
  #jobs = new Set<Job>();
  #disposed = false;

  constructor(engines: Engine[]) {
    this.engines = engines;
    this.#idle = [...engines];
  }

  /** The result of a call; rejected as soon as its group is given up. */
  run(call: Call, group: Group): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#disposed) return reject(disposed());
      // A call that has begun is computed to its end, but nobody waits for it.
      const giveUp = (error: EncoderfileError) => {
        this.#jobs.delete(job);
        reject(error);
      };
      const job: Job = { call, group, resolve, reject: giveUp };
      group.add(job.reject);
      this.#jobs.add(job);
      this.#next();
    });
  }

  /** Ends all engines; what was waiting is rejected. */
  dispose(): void {
    this.#disposed = true;
    for (const engine of this.engines) engine.end();
    for (const { reject } of this.#jobs) reject(disposed());
  }

  #next(): void {
    const [job] = this.#jobs;
    if (job === undefined) return;
    const engine = this.#idle.pop();
    if (engine === undefined) return;
    this.#jobs.delete(job);
    engine
      .call(job.call)
      .then(job.resolve, job.reject)
      .finally(() => {
        job.group.remove(job.reject);
        this.#idle.push(engine);
        this.#next();
      });
  }
}

function disposed(): EncoderfileError {
  return new EncoderfileError("disposed", "this model was disposed");
}
