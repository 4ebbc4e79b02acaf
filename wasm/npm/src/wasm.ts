/**
 * The program, compiled: once for all models and workers.
 *
 * @module
 */

import { EncoderfileError } from "./error.js";
import { openFile } from "./files.js";

let compiled: Promise<WebAssembly.Module> | undefined;

/** The module of `from`, or of the package's own file. */
export async function compile(from?: string | URL | BufferSource | WebAssembly.Module): Promise<WebAssembly.Module> {
  if (from !== undefined) return compileFrom(from);
  // Bundlers look for exactly this expression.
  compiled ??= compileFrom(new URL("./encoderfile.wasm", import.meta.url));
  try {
    return await compiled;
  } catch (error) {
    compiled = undefined;
    throw error;
  }
}

async function compileFrom(from: string | URL | BufferSource | WebAssembly.Module): Promise<WebAssembly.Module> {
  if (from instanceof WebAssembly.Module) return from;
  const bytes = typeof from === "string" || from instanceof URL ? await fetched(from) : from;
  try {
    return await (bytes instanceof Response ? WebAssembly.compileStreaming(bytes) : WebAssembly.compile(bytes));
  } catch (cause) {
    const advice = "a content security policy needs `script-src 'wasm-unsafe-eval'`";
    throw new EncoderfileError("unsupported_environment", `WebAssembly: ${String(cause)} (${advice})`, { cause });
  }
}

/** A response that can be compiled as it comes, or else its bytes. */
async function fetched(from: string | URL): Promise<Response | BufferSource> {
  const url = new URL(from, typeof document === "undefined" ? globalThis.location?.href : document.baseURI);
  const file = await openFile(url);
  if (file) return file.slice(0, file.size).arrayBuffer();
  let response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new EncoderfileError("network", `${url} cannot be reached: ${String(cause)}`, { cause });
  }
  if (!response.ok) {
    throw new EncoderfileError("http", `${url} answered ${response.status}`, { status: response.status });
  }
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("text/html")) {
    // Vite before 8 moves this script away from what is beside it, and answers
    // whatever it does not find with the page.
    const advice = 'with Vite, put "encoderfile" into `optimizeDeps.exclude`; else pass `wasm`';
    throw new EncoderfileError("http", `${url} is a page, not a program (${advice})`, { status: response.status });
  }
  return type.startsWith("application/wasm") ? response : response.arrayBuffer();
}
