/**
 * Files of a release, into the cache.
 *
 * @module
 */

import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, link, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Failure, reason } from "./failure.js";
import { Progress } from "./progress.js";
import type { Tool } from "./release.js";
import { SIGNALS } from "./run.js";
import { ADDRESS, type Source } from "./source.js";

/** Of a file that is hashed, in bytes at once. */
const CHUNK = 1 << 20;

/** Whether a file is there, can be read, and is what the release has. */
export async function hasHash(path: string, tool: Tool): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found?.size !== tool.length) return false;
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK })) hash.update(chunk as Uint8Array);
  } catch {
    return false;
  }
  return hash.digest("hex") === tool.sha256;
}

/** Puts a tool under `path`, where it is whole or not at all. */
export async function download(from: Source, version: string, tool: Tool, path: string): Promise<void> {
  // Not by the process id: containers that share a cache have the same ones.
  const part = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`);
  const stopped = new AbortController();
  const stop = (signal: NodeJS.Signals): void => stopped.abort(signal);
  for (const signal of SIGNALS) process.once(signal, stop);
  try {
    await write(from, version, tool, part, stopped.signal);
    await place(part, path, tool);
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    await rm(part, { force: true }).catch(() => undefined);
    if (stopped.signal.aborted) process.kill(process.pid, stopped.signal.reason as NodeJS.Signals);
  }
}

/** Never in place of a tool that is whole: somebody who fetched it meanwhile may be running it. */
async function place(part: string, path: string, tool: Tool): Promise<void> {
  try {
    // Fails where there is a file, in one step.
    await link(part, path);
  } catch {
    if (await hasHash(path, tool)) return;
    await rename(part, path).catch((error: unknown) => {
      throw ofCache(path, error);
    });
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
      await file.writeFile(chunk).catch((error: unknown) => {
        throw ofCache(part, error);
      });
      progress.show(length);
    }
  } catch (error) {
    if (error instanceof Failure || signal.aborted) throw error;
    throw new Failure(`${from.place}: ${reason(error)}; run it again, or set ${ADDRESS} to another place`);
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

async function create(part: string): Promise<FileHandle> {
  try {
    await mkdir(dirname(part), { recursive: true });
    return await open(part, "wx", 0o755);
  } catch (error) {
    throw ofCache(part, error);
  }
}

function ofCache(path: string, error: unknown): Failure {
  return new Failure(`${path}: ${reason(error)}; set XDG_CACHE_HOME to a folder that can be written`);
}
