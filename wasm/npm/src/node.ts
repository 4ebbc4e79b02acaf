/**
 * The package in Node and what is like it: `load` takes paths and `file:`
 * addresses, too.
 *
 * @module
 */

import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { useFiles } from "./files.js";
import type { Sliceable } from "./incoming.js";

useFiles({
  async open(source) {
    if (typeof source === "string" && /^(https?|data|blob):/.test(source)) return undefined;
    if (source instanceof URL && source.protocol !== "file:") return undefined;
    const isUrl = source instanceof URL || source.startsWith("file:");
    return file(isUrl ? fileURLToPath(source) : source);
  },
});

export * from "./index.js";

/** How much of a file is read at a time. */
const CHUNK_LEN = 1 << 20;

async function file(path: string): Promise<Sliceable> {
  const opened = await open(path);
  const { size } = await opened.stat().finally(() => opened.close());
  return {
    size,
    slice: (start, end) => ({
      stream: () => part(path, start, end),
      arrayBuffer: () => new Response(part(path, start, end)).arrayBuffer(),
    }),
  };
}

function part(path: string, start: number, end: number): ReadableStream<Uint8Array> {
  let opened: Awaited<ReturnType<typeof open>> | undefined;
  let next = start;
  return new ReadableStream({
    async pull(controller) {
      opened ??= await open(path);
      const chunk = new Uint8Array(Math.min(CHUNK_LEN, end - next));
      const { bytesRead } = await opened.read(chunk, 0, chunk.length, next);
      next += bytesRead;
      if (bytesRead > 0) controller.enqueue(chunk.subarray(0, bytesRead));
      if (bytesRead > 0 && next < end) return;
      await opened.close();
      controller.close();
    },
    async cancel() {
      await opened?.close();
    },
  });
}
