/**
 * Aborting, with an error of ours.
 *
 * @module
 */

import { EncoderfileError } from "./error.js";

/** The error for an aborted signal. */
export function aborted(signal: AbortSignal): EncoderfileError {
  return new EncoderfileError("aborted", "aborted", { cause: signal.reason });
}

/** Throws if the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}

/** What a promise gives, or an error as soon as the signal is aborted. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  // Whoever waits is told here; the promise may fail later and unheard.
  promise.catch(() => undefined);
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(aborted(signal));
    const onAbort = () => reject(aborted(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Several things that are aborted together, by somebody's signal or by us. */
export class Group {
  #controller = new AbortController();
  #outer: AbortSignal | undefined;
  #onAbort = () => this.#controller.abort(this.#outer?.reason);

  constructor(outer: AbortSignal | undefined) {
    this.#outer = outer;
    if (outer?.aborted) this.#onAbort();
    outer?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts what has not ended yet. */
  end(): void {
    this.#outer?.removeEventListener("abort", this.#onAbort);
    this.#controller.abort();
  }
}
