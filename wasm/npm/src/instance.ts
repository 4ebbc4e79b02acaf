/**
 * One WebAssembly instance with one model: what runs in a worker, or here.
 *
 * @module
 */

import { Bytes } from "./bytes.js";
import { EncoderfileError } from "./error.js";
import glue, { type Exports } from "./glue.js";
import tile from "./tile.js";

/** What can be asked of a model, with JSON for whatever is not a text. */
export type Call =
  | { method: "embed"; text: string; options: string }
  | { method: "infer"; item: string; options: string }
  | { method: "tokenize"; item: string; options: string }
  | { method: "check"; options: string }
  | { method: "selfTest" }
  | { method: "memory" };

/** What comes back: an embedding, JSON, a number of bytes, or nothing. */
export type Result = Float32Array<ArrayBuffer> | string | number | undefined;

/** Whether the calls can be computed beside each other: the same of two texts. */
export function areAlike(one: Call, other: Call): boolean {
  if (one.method !== "embed" && one.method !== "infer") return false;
  return one.method === other.method && one.options === other.options;
}

/** A list of numbers cut into so many, each with memory of its own. */
function parts(numbers: Float32Array, count: number): Float32Array<ArrayBuffer>[] {
  const length = numbers.length / count;
  return Array.from({ length: count }, (_, part) => numbers.slice(part * length, (part + 1) * length));
}

export class Instance {
  #exports: Exports;
  #memory: WebAssembly.Memory;
  #stackPointer: WebAssembly.Global<"i32">;
  #stackStart: number;
  #bytes = new Bytes();

  constructor(module: WebAssembly.Module) {
    this.#exports = glue();
    const raw = this.#exports.initSync({ module });
    this.#memory = raw.memory;
    this.#stackPointer = raw.__stack_pointer;
    this.#stackStart = this.#stackPointer.value;
    this.#useTile();
  }

  /** Has products computed by the micro-kernel in relaxed SIMD, where the engine has it. */
  #useTile(): void {
    if (!WebAssembly.validate(tile)) return;
    const module = new WebAssembly.Module(tile);
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.#memory } });
    this.#exports.use_tile(this.#exports.functions().grow(1, exports.tile));
  }

  /** Takes the next bytes of the file. */
  push(chunk: Uint8Array): void {
    this.#bytes.push(chunk);
  }

  /** Checks the file and loads its model; returns what it says of itself, as JSON. */
  load(): string {
    return this.#run(() => this.#exports.load(this.#bytes));
  }

  /**
   * The result of each call; where there are several, they are {@link areAlike}. If one
   * fails, all do.
   */
  call(calls: readonly Call[]): Result[] {
    const exports = this.#exports;
    return this.#run(() => {
      const texts = calls.flatMap((call) => (call.method === "embed" ? [call.text] : []));
      const items = calls.flatMap((call) => (call.method === "infer" ? [call.item] : []));
      const [call] = calls;
      switch (call?.method) {
        case undefined:
          return [];
        case "embed":
          return parts(exports.embed(texts, call.options), texts.length);
        case "infer":
          return exports.infer(items, call.options);
        case "tokenize":
          return [exports.tokenize(call.item, call.options)];
        case "check":
          return [exports.check(call.options)];
        case "selfTest":
          return [exports.self_test()];
        case "memory":
          return [this.#memory.buffer.byteLength + this.#bytes.held];
      }
    });
  }

  #run<T>(compute: () => T): T {
    try {
      return compute();
    } catch (error) {
      // A panic, or an allocation that failed, left Rust without going back
      // through its callers. Nothing there depends on that; the stack does.
      this.#stackPointer.value = this.#stackStart;
      throw error;
    }
  }
}

/**
 * The instructions `ref.null` and `i8x16.popcnt`, in a module of one function: of what
 * ours needs, reference types came last to Chrome and SIMD to Safari.
 */
const NEWEST = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 208, 111, 26, 65, 0, 253, 15, 253,
  98, 11,
]);

/** Refuses to go on where WebAssembly is missing or too old. */
export function checkEnvironment(): void {
  if (typeof WebAssembly === "undefined" || !WebAssembly.validate(NEWEST)) {
    throw new EncoderfileError(
      "unsupported_environment",
      "this needs WebAssembly with SIMD and reference types: Chrome 96, Firefox 114, Safari 16.4, Node 20, Deno 2, or newer",
    );
  }
}
