/**
 * Bytes on their way in: from whatever `load` was given to chunks.
 *
 * @module
 */

import { throwIfAborted, unlessAborted } from "./abort.js";
import { EncoderfileError } from "./error.js";
import { openFile } from "./files.js";
import { FOOTER_LEN, parseFooter } from "./footer.js";
import { openUrl } from "./http.js";

/** Where bytes come from. */
export type Origin = "network" | "cache" | "given";

/** A file, or the payload of one, as a stream. */
export interface Incoming {
  stream: ReadableStream<Uint8Array>;
  /** What comes before that. */
  first?: Uint8Array;
  /** The number of bytes to come, where that is known. */
  total: number | undefined;
  from: Origin;
  /** Called with each chunk, which somebody else may take away afterwards. */
  onChunk?(chunk: Uint8Array): Promise<void>;
  /** Called when the model is loaded, which means that the bytes were right. */
  onLoaded?(): Promise<void>;
  /** Called when it could not be. */
  onFailed?(): Promise<void>;
}

/** Bytes that can be read from anywhere: a `Blob`, or a file of Node's. */
export interface Sliceable {
  readonly size: number;
  slice(start: number, end: number): { stream(): ReadableStream<Uint8Array>; arrayBuffer(): Promise<ArrayBuffer> };
}

/** What can be loaded. */
export type Source = string | URL | Response | Blob | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array>;

/** How an address is fetched. */
export interface FetchOptions {
  cache: boolean;
  headers: HeadersInit | undefined;
  signal: AbortSignal | undefined;
}

export async function open(source: Source | Sliceable, options: FetchOptions): Promise<Incoming> {
  throwIfAborted(options.signal);
  if (typeof source === "string" || source instanceof URL) {
    const file = await openPath(source);
    return file ? openSliceable(file) : openUrl(absolute(source), options);
  }
  if (typeof Response !== "undefined" && source instanceof Response) return openResponse(source);
  if (source instanceof ReadableStream) return given(source, undefined);
  if (source instanceof ArrayBuffer) return openBytes(new Uint8Array(source));
  if (ArrayBuffer.isView(source)) {
    return openBytes(new Uint8Array(source.buffer as ArrayBuffer, source.byteOffset, source.byteLength));
  }
  if (isSliceable(source)) return openSliceable(source);
  throw new EncoderfileError(
    "invalid_source",
    "load takes a URL, Response, Blob, File, ArrayBuffer or ReadableStream",
  );
}

async function openPath(source: string | URL): Promise<Sliceable | undefined> {
  try {
    return await openFile(source);
  } catch (cause) {
    throw new EncoderfileError("invalid_source", `cannot read ${source}: ${String(cause)}`, { cause });
  }
}

function isSliceable(source: unknown): source is Sliceable {
  const { size, slice } = (source ?? {}) as Partial<Sliceable>;
  return typeof size === "number" && typeof slice === "function";
}

/** The address from where this page is. */
function absolute(source: string | URL): string {
  const base = typeof document !== "undefined" ? document.baseURI : globalThis.location?.href;
  try {
    return new URL(source, base).href;
  } catch (cause) {
    throw new EncoderfileError("invalid_source", `no address: ${source}`, { cause });
  }
}

function openResponse(response: Response): Incoming {
  if (!response.ok) throw httpError(response);
  if (response.body === null || response.bodyUsed) {
    throw new EncoderfileError("invalid_source", "the response has no body, or it was read already");
  }
  return given(response.body, contentLength(response));
}

/** The error for a response that is none. */
export function httpError(response: Response): EncoderfileError {
  const { status, statusText, url } = response;
  const message = `${url || "the server"} answered ${status}${statusText && ` ${statusText}`}`;
  return new EncoderfileError("http", message, { status });
}

/** How long a response's body is, unless it is compressed. */
export function contentLength(response: Response): number | undefined {
  const length = response.headers.get("content-length");
  const isEncoded = response.headers.has("content-encoding");
  return length !== null && /^\d+$/.test(length) && !isEncoded ? Number(length) : undefined;
}

function given(stream: ReadableStream<Uint8Array>, total: number | undefined): Incoming {
  return { stream, total, from: "given" };
}

/** Only the payload is read, where the file has one. */
async function openSliceable(source: Sliceable): Promise<Incoming> {
  const end = source.size;
  let start = 0;
  try {
    const footer = await source.slice(Math.max(end - FOOTER_LEN, 0), end).arrayBuffer();
    start = payloadStart(new Uint8Array(footer), end);
  } catch (cause) {
    throw new EncoderfileError("invalid_source", `cannot read it: ${String(cause)}`, { cause });
  }
  return given(source.slice(start, end).stream(), end - start);
}

/** How much of a buffer is taken at a time. */
const CHUNK_LEN = 1 << 20;

function openBytes(bytes: Uint8Array): Incoming {
  const start = payloadStart(bytes.subarray(-FOOTER_LEN), bytes.length);
  let next = start;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      // A copy: the buffer stays the caller's.
      const chunk = bytes.slice(next, next + CHUNK_LEN);
      next += chunk.length;
      if (chunk.length > 0) controller.enqueue(chunk);
      else controller.close();
    },
  });
  return given(stream, bytes.length - start);
}

/** Where the payload begins; 0 where the runtime has to say what is wrong. */
function payloadStart(footer: Uint8Array, length: number): number {
  return Math.max(length - (parseFooter(footer)?.payloadLength ?? length), 0);
}

/** The chunks of what comes in, until the end or an abort. */
export async function* chunks(incoming: Incoming, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const reader = incoming.stream.getReader();
  let done = false;
  try {
    if (incoming.first) yield incoming.first;
    for (;;) {
      const next = await unlessAborted(reader.read(), signal);
      done = next.done;
      if (next.done) return;
      yield next.value;
    }
  } catch (cause) {
    if (cause instanceof EncoderfileError) throw cause;
    throwIfAborted(signal);
    throw new EncoderfileError("network", `the bytes stopped coming: ${String(cause)}`, { cause });
  } finally {
    if (!done) reader.cancel().catch(() => undefined);
  }
}
