/**
 * Files of a release, into the cache.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Failure, reason } from "./failure.js";
import { Progress } from "./progress.js";
import type { Tool } from "./release.js";
import { type Source, source } from "./source.js";

/** Whether a file is there, and what the release has. */
export async function hasHash(path: string, tool: Tool): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found?.size !== tool.length) return false;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex") === tool.sha256;
}

/** Puts a tool under `path`, where it is whole or not at all. */
export async function download(base: string, version: string, tool: Tool, path: string): Promise<void> {
  const from = source(base, version, tool.name);
  const part = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  const stopped = new AbortController();
  const stop = (signal: NodeJS.Signals): void => stopped.abort(signal);
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await write(from, version, tool, part, stopped.signal);
    await rename(part, path).catch(async (error: unknown) => {
      // Where a program that runs cannot be replaced, somebody else may have put it there.
      if (!(await hasHash(path, tool))) throw new Failure(`${path}: ${reason(error)}`);
    });
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
    await rm(part, { force: true }).catch(() => undefined);
    if (stopped.signal.aborted) process.kill(process.pid, stopped.signal.reason as NodeJS.Signals);
  }
}

async function write(from: Source, version: string, tool: Tool, part: string, signal: AbortSignal): Promise<void> {
  const file = await create(part);
  const progress = new Progress(`encoderfile ${version}`, tool.length);
  const hash = createHash("sha256");
  let length = 0;
  try {
    for await (const chunk of await from.open(signal)) {
      length += chunk.length;
      if (length > tool.length) throw new Failure(`${from.place}: longer than the ${tool.length} bytes of the release`);
      hash.update(chunk);
      await file.write(chunk);
      progress.show(length);
    }
  } catch (error) {
    if (error instanceof Failure || signal.aborted) throw error;
    throw new Failure(`${from.place}: ${reason(error)}`);
  } finally {
    progress.clear();
    await file.close();
  }
  if (length < tool.length) {
    throw new Failure(`${from.place}: cut after ${length} of ${tool.length} bytes; run it again`);
  }
  if (hash.digest("hex") !== tool.sha256) {
    throw new Failure(`${from.place}: not the SHA-256 that this package has of it, ${tool.sha256}; nothing was kept`);
  }
  console.error(`encoderfile ${version}: ${(length / 1e6).toFixed(1)} MB from ${from.place}`);
}

async function create(part: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    await mkdir(dirname(part), { recursive: true });
    return await open(part, "w", 0o755);
  } catch (error) {
    throw new Failure(`${reason(error)}; set XDG_CACHE_HOME to a folder that can be written`);
  }
}
