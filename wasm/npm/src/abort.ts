/**
 * Aborting, with an error of ours.
 *
 * @module
 */

import { EncoderfileError } from "./error.js";

/** The error for an aborted signal. */
function aborted(signal: AbortSignal): EncoderfileError {
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

/**
 * What belongs to one request, and is given up with it: one listener to its
 * signal, however many texts it has.
 */
export class Group {
  #signal: AbortSignal | undefined;
  #waiting = new Set<(why: EncoderfileError) => void>();
  #onAbort = () => this.#give(aborted(this.#signal!));

  constructor(signal: AbortSignal | undefined) {
    throwIfAborted(signal);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Has `giveUp` called if the request is given up before {@link Group.remove}. */
  add(giveUp: (why: EncoderfileError) => void): void {
    this.#waiting.add(giveUp);
  }

  remove(giveUp: (why: EncoderfileError) => void): void {
    this.#waiting.delete(giveUp);
  }

  /** Gives up whatever still waits. */
  end(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#give(new EncoderfileError("aborted", "another text of the request failed"));
  }

  #give(why: EncoderfileError): void {
    for (const giveUp of this.#waiting) giveUp(why);
    this.#waiting.clear();
  }
}
