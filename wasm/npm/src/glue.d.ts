/**
 * What wasm-bindgen makes of `wasm/src`, as a function that gives a fresh
 * instance. Written by `cargo xtask dist`.
 */

import type { Bytes } from "./bytes.js";

export interface Exports {
  /** Starts the instance. */
  initSync(from: { module: WebAssembly.Module }): {
    memory: WebAssembly.Memory;
    __stack_pointer: WebAssembly.Global<"i32">;
  };
  functions(): WebAssembly.Table;
  use_tile(place: number): void;
  load(bytes: Bytes): string;
  embed(texts: string[], options: string): Float32Array;
  infer(items: string[], options: string): string[];
  tokenize(item: string, options: string): string;
  check(options: string): undefined;
  self_test(): string;
}

export default function glue(): Exports;
