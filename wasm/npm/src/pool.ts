/**
 * Calls on their way to engines, in the order they came. An engine computes short
 * texts beside each other: in one pass over the weights, with the same results.
 *
 * @module
 */

import type { Group } from "./abort.js";
import type { Engine } from "./engine.js";
import { EncoderfileError } from "./error.js";
import { areAlike, type Call, type Result } from "./instance.js";

/** Texts of so many characters in all are about one pass over the weights: 144 tokens. */
const CHARACTERS_MAX = 600;

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
      // After whoever calls has called for all texts.
      queueMicrotask(() => this.#next());
    });
  }

  /** Ends all engines; what was waiting is rejected. */
  dispose(): void {
    this.#disposed = true;
    for (const engine of this.engines) engine.end();
    for (const { reject } of this.#jobs) reject(disposed());
  }

  #next(): void {
    while (this.#jobs.size > 0) {
      const engine = this.#idle.pop();
      if (engine === undefined) return;
      this.#compute(engine, this.#take()).finally(() => {
        this.#idle.push(engine);
        this.#next();
      });
    }
  }

  /** The first job, with those after it that are computed beside it. */
  #take(): Job[] {
    // The others are for the engines that are idle too.
    const share = Math.ceil(this.#jobs.size / (this.#idle.length + 1));
    const taken: Job[] = [];
    let characters = 0;
    for (const job of this.#jobs) {
      const [first = job] = taken;
      characters += charactersOf(job.call);
      if (job !== first && (characters > CHARACTERS_MAX || !areAlike(first.call, job.call))) break;
      taken.push(job);
      this.#jobs.delete(job);
      if (taken.length === share) break;
    }
    return taken;
  }

  async #compute(engine: Engine, jobs: Job[]): Promise<void> {
    try {
      const results = await engine.call(jobs.map((job) => job.call));
      jobs.forEach((job, place) => job.resolve(results[place]));
    } catch (error) {
      // Of several, each says by itself whether it was the one that failed.
      if (jobs.length > 1) for (const job of jobs) await this.#compute(engine, [job]);
      else jobs[0]?.reject(error as EncoderfileError);
    } finally {
      for (const { group, reject } of jobs) group.remove(reject);
    }
  }
}

function charactersOf(call: Call): number {
  if (call.method === "embed") return call.text.length;
  return call.method === "infer" ? call.item.length : 0;
}

function disposed(): EncoderfileError {
  return new EncoderfileError("disposed", "this model was disposed");
}
