/**
 * Files that were loaded before, in the Cache API.
 *
 * A payload is kept under its digest, which is the hash of everything in it. For
 * each address there is a note of which payload it gave and how the server
 * marked that version. Nothing here is necessary: what fails is as if it were
 * not there.
 *
 * @module
 */

import { digestOf } from "./footer.js";

const NAME = "encoderfile";

/** Keys have to be addresses; this one is nobody's. */
const BASE = "https://encoderfile.invalid/";

/** What is known of an address. */
export interface Note {
  /** Of the payload, in hexadecimal. */
  digest: string;
  /** Its length. */
  length: number;
  /** What the server called this version of the file, if it did. */
  version: string | undefined;
}

export class PayloadCache {
  #cache: Cache;

  private constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** The cache of this origin; `undefined` where there is none. */
  static async open(): Promise<PayloadCache | undefined> {
    if (typeof caches === "undefined") return undefined;
    // Forbidden in documents without an origin.
    const cache = await caches.open(NAME).catch(() => undefined);
    return cache && new PayloadCache(cache);
  }

  /** Removes everything. */
  static async clear(): Promise<void> {
    if (typeof caches !== "undefined") await caches.delete(NAME).catch(() => false);
  }

  /** What an address gave the last time. */
  async note(url: string): Promise<Note | undefined> {
    const response = await this.#cache.match(noteKey(url)).catch(() => undefined);
    return response?.json().catch(() => undefined) as Promise<Note | undefined>;
  }

  async payload(digest: string): Promise<ReadableStream<Uint8Array> | undefined> {
    const response = await this.#cache.match(payloadKey(digest)).catch(() => undefined);
    return response?.body ?? undefined;
  }

  /** Begins to keep a payload; it is there once the writer is closed. */
  writer(digest: string): PayloadWriter {
    return new PayloadWriter(this.#cache, payloadKey(digest));
  }

  /** Takes down what an address gave, and removes what nobody refers to any more. */
  async remember(url: string, note: Note): Promise<void> {
    try {
      await this.#cache.put(noteKey(url), new Response(JSON.stringify(note)));
      const keys = await this.#cache.keys();
      const notes = keys.filter((key) => key.url.startsWith(`${BASE}url/`));
      const used = new Set<string>();
      for (const key of notes) {
        const found = (await (await this.#cache.match(key))?.json()) as Note | undefined;
        if (found) used.add(payloadKey(found.digest));
      }
      const payloads = keys.filter((key) => key.url.startsWith(`${BASE}blake3/`));
      await Promise.all(payloads.filter((key) => !used.has(key.url)).map((key) => this.#cache.delete(key)));
    } catch {
      // The next load fetches it again.
    }
  }

  /**
   * Keeps the payload of a file that was kept whole under `key` in place of a
   * digest; gives what is known of it.
   */
  async move(key: string, start: number, metadataLength: number): Promise<Pick<Note, "digest" | "length"> | undefined> {
    try {
      const file = await (await this.#cache.match(payloadKey(key)))?.blob();
      if (!file) return undefined;
      const metadata = await file.slice(start, start + metadataLength).arrayBuffer();
      const digest = digestOf(new Uint8Array(metadata));
      await this.#cache.put(payloadKey(digest), new Response(file.slice(start)));
      return { digest, length: file.size - start };
    } catch {
      return undefined;
    }
  }

  /** Removes a payload that turned out not to be what it should. */
  async forget(digest: string): Promise<void> {
    await this.#cache.delete(payloadKey(digest)).catch(() => false);
  }
}

/** A payload on its way into the cache. */
export class PayloadWriter {
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #stored: Promise<boolean>;
  #failed = false;

  constructor(cache: Cache, key: string) {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    this.#writer = writable.getWriter();
    const stored = cache.put(key, new Response(readable)).then(() => true);
    this.#stored = stored.catch(() => {
      // No room, most likely. Whoever writes need not wait for it.
      this.#failed = true;
      this.#writer.abort().catch(() => undefined);
      return false;
    });
    this.#writer.closed.catch(() => undefined);
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#failed) return;
    // A copy: the cache reads it later, when the chunk may have gone to a worker.
    await this.#writer.write(chunk.slice()).catch(() => {
      this.#failed = true;
    });
  }

  /** Keeps what was written; tells whether that was possible. */
  async close(): Promise<boolean> {
    if (!this.#failed) await this.#writer.close().catch(() => undefined);
    return this.#stored;
  }

  /** Keeps nothing. */
  async abort(): Promise<void> {
    await this.#writer.abort().catch(() => undefined);
    await this.#stored;
  }
}

function noteKey(url: string): string {
  return `${BASE}url/${encodeURIComponent(url)}`;
}

function payloadKey(digest: string): string {
  return `${BASE}blake3/${digest}`;
}
