/**
 * How far a download is, where somebody watches.
 *
 * @module
 */

/** Often enough to see, and seldom enough to cost nothing. */
const EVERY_MS = 100;

export class Progress {
  readonly #name: string;
  readonly #size: number;
  #shown = 0;

  constructor(name: string, size: number) {
    this.#name = name;
    this.#size = size;
  }

  show(length: number): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#shown < EVERY_MS) return;
    this.#shown = now;
    const [done, all] = [length, this.#size].map((bytes) => (bytes / 1e6).toFixed(1));
    process.stderr.write(`\r${this.#name}: ${done} of ${all} MB`);
  }

  clear(): void {
    if (this.#shown > 0) process.stderr.write("\r\x1b[K");
  }
}
