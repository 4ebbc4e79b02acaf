/**
 * Encoderfiles on servers: from the footer backwards, so that of an executable
 * only the payload is fetched, and that only if it is not in the cache.
 *
 * Requests are such that other origins allow them without being asked first,
 * and only what they show to everybody is relied on: the length, but not the
 * range, of what they answer.
 *
 * @module
 */

import { throwIfAborted } from "./abort.js";
import { PayloadCache, type Note } from "./cache.js";
import { EncoderfileError } from "./error.js";
import { FOOTER_LEN, digestOf, parseFooter } from "./footer.js";
import { contentLength, httpError, type FetchOptions, type Incoming } from "./incoming.js";

export async function openUrl(url: string, options: FetchOptions): Promise<Incoming> {
  const cache = options.cache ? await PayloadCache.open() : undefined;
  return new Address(url, options, cache).open();
}

/** What an address has now. */
interface Version {
  length: number | undefined;
  name: string | undefined;
}

class Address {
  #url: string;
  #options: FetchOptions;
  #cache: PayloadCache | undefined;

  constructor(url: string, options: FetchOptions, cache: PayloadCache | undefined) {
    this.#url = url;
    this.#options = options;
    this.#cache = cache;
  }

  async open(): Promise<Incoming> {
    const note = await this.#cache?.note(this.#url);
    const version = await this.#version(note);
    if (note && (version === "offline" || (version.name !== undefined && version.name === note.version))) {
      const cached = await this.#fromCache(note);
      if (cached) return cached;
    }
    if (version === "offline") throw this.#unreachable();
    const payload = version.length === undefined ? undefined : await this.#payload(version.length, version.name);
    return payload ?? this.#whole();
  }

  /** How long the file is and which version of it; "offline" where nobody answers. */
  async #version(note: Note | undefined): Promise<Version | "offline"> {
    let response;
    try {
      response = await this.#fetch("HEAD");
    } catch (error) {
      if (error instanceof EncoderfileError && error.code === "network" && note) return "offline";
      throw error;
    }
    // A server may refuse to answer this, but not what follows.
    if (!response.ok) return { length: undefined, name: undefined };
    const mark = response.headers.get("etag") ?? response.headers.get("last-modified");
    const length = contentLength(response);
    return { length, name: mark === null ? undefined : `${mark} ${length}` };
  }

  /** Only the payload; `undefined` where the server has no ranges or no footer at the end. */
  async #payload(fileLength: number, version: string | undefined): Promise<Incoming | undefined> {
    const tail = await this.#range(fileLength - FOOTER_LEN, fileLength);
    const footer = tail && parseFooter(tail);
    if (!footer || footer.payloadLength > fileLength) return undefined;
    const start = fileLength - footer.payloadLength;
    const metadata = await this.#range(start, start + footer.metadataLength);
    if (!metadata) return undefined;
    const note = { digest: digestOf(metadata), length: footer.payloadLength, version };
    const cached = await this.#fromCache(note);
    if (cached) return cached;

    const rest = await this.#fetch("GET", `bytes=${start + metadata.length}-${fileLength - 1}`);
    if (rest.status !== 206 || rest.body === null) {
      await rest.body?.cancel();
      return undefined;
    }
    const writer = this.#cache?.writer(note.digest);
    return {
      first: metadata,
      stream: rest.body,
      total: footer.payloadLength,
      from: "network",
      onChunk: async (chunk) => writer?.write(chunk),
      onLoaded: async () => {
        if (await writer?.close()) await this.#cache?.remember(this.#url, note);
      },
      onFailed: async () => writer?.abort(),
    };
  }

  /** All of the file. */
  async #whole(): Promise<Incoming> {
    const response = await this.#fetch("GET");
    if (!response.ok) throw httpError(response);
    if (response.body === null) throw new EncoderfileError("http", `${this.#url} is empty`, { status: response.status });
    const mark = response.headers.get("etag") ?? response.headers.get("last-modified");
    const total = contentLength(response);
    const version = mark === null ? undefined : `${mark} ${total}`;
    const kept = this.#cache && new WholeFile(this.#cache, this.#url, version);
    return {
      stream: response.body,
      total,
      from: "network",
      onChunk: async (chunk) => kept?.write(chunk),
      onLoaded: async () => kept?.finish(),
      onFailed: async () => kept?.abort(),
    };
  }

  async #fromCache(note: Note): Promise<Incoming | undefined> {
    const stream = await this.#cache?.payload(note.digest);
    return stream && {
      stream,
      total: note.length,
      from: "cache",
      onLoaded: async () => this.#cache?.remember(this.#url, note),
      onFailed: async () => this.#cache?.forget(note.digest),
    };
  }

  /** The bytes from `start` to `end`; `undefined` where the server does not give just those. */
  async #range(start: number, end: number): Promise<Uint8Array | undefined> {
    if (start < 0) return undefined;
    const response = await this.#fetch("GET", `bytes=${start}-${end - 1}`);
    if (response.status !== 206) {
      await response.body?.cancel();
      return undefined;
    }
    try {
      const bytes = new Uint8Array(await response.arrayBuffer());
      return bytes.length === end - start ? bytes : undefined;
    } catch (cause) {
      throwIfAborted(this.#options.signal);
      throw this.#unreachable(cause);
    }
  }

  async #fetch(method: "GET" | "HEAD", range?: string): Promise<Response> {
    const headers = new Headers(this.#options.headers);
    if (range) headers.set("range", range);
    // What is kept is kept by its hash; a second copy of it helps nobody.
    const cache = range ? "no-store" : "no-cache";
    try {
      return await fetch(this.#url, { method, headers, cache, signal: this.#options.signal ?? null });
    } catch (cause) {
      throwIfAborted(this.#options.signal);
      throw this.#unreachable(cause);
    }
  }

  #unreachable(cause?: unknown): EncoderfileError {
    return new EncoderfileError("network", `${this.#url} cannot be reached: ${String(cause ?? "offline")}`, { cause });
  }
}

/**
 * A file without ranges on its way into the cache: which payload it is shows
 * only at its end.
 */
class WholeFile {
  #cache: PayloadCache;
  #url: string;
  #version: string | undefined;
  #writer;
  #tail = new Uint8Array();
  #length = 0;

  constructor(cache: PayloadCache, url: string, version: string | undefined) {
    this.#cache = cache;
    this.#url = url;
    this.#version = version;
    this.#writer = cache.writer(this.#key());
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#length += chunk.length;
    const tail = new Uint8Array(this.#tail.length + Math.min(chunk.length, FOOTER_LEN));
    tail.set(this.#tail);
    tail.set(chunk.subarray(-FOOTER_LEN), this.#tail.length);
    this.#tail = tail.slice(-FOOTER_LEN);
    await this.#writer.write(chunk);
  }

  async finish(): Promise<void> {
    const footer = parseFooter(this.#tail);
    if (footer && (await this.#writer.close())) {
      const start = this.#length - footer.payloadLength;
      const note = await this.#cache.move(this.#key(), start, footer.metadataLength);
      if (note) await this.#cache.remember(this.#url, { ...note, version: this.#version });
    }
    await this.#cache.forget(this.#key());
  }

  async abort(): Promise<void> {
    await this.#writer.abort();
  }

  #key(): string {
    return `incoming/${encodeURIComponent(this.#url)}`;
  }
}
