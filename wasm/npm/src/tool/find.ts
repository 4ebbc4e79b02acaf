/**
 * What this command runs: the tool of ENCODERFILE_TOOL, or the release's, from the cache or
 * fetched into it.
 *
 * @module
 */

import { realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { download, hasHash } from "./download.js";
import { Failure } from "./failure.js";
import { cacheFolder, target } from "./machine.js";
import { withProxy } from "./proxy.js";
import { type Release, release, type Tool } from "./release.js";
import type { Program } from "./run.js";
import { ADDRESS, source } from "./source.js";

/** A tool; that of a release has the hash which this package has of it, each time it is run. */
export async function find(environment: NodeJS.ProcessEnv): Promise<Program> {
  const program = (path: string): Program => ({ path, args: [], environment });
  if (environment.ENCODERFILE_TOOL) return program(await given(environment.ENCODERFILE_TOOL));
  const { version, address, tools } = await release();
  const triple = target();
  const tool = toolFor(triple, version, tools);
  const name = process.platform === "win32" ? "encoderfile.exe" : "encoderfile";
  const path = join(cacheFolder(environment), "tool-binaries", "encoderfile", version, triple, name);
  if (await hasHash(path, tool)) return program(path);
  const base = environment[ADDRESS]?.trim() || address;
  if (!base) throw new Failure(`no address of releases: set ${ADDRESS} to a server or a folder`);
  const from = source(base, version, tool.name);
  const again = from.isServer ? withProxy(environment) : undefined;
  if (again !== undefined) return again;
  await download(from, version, tool, path);
  return program(path);
}

/** Always a path: in PATH, and where a link leads, may be this command. */
async function given(text: string): Promise<string> {
  const path = resolve(text);
  const own = fileURLToPath(new URL("main.js", import.meta.url));
  if ((await realpath(path).catch(() => path)) === own) {
    throw new Failure(`ENCODERFILE_TOOL: ${path} is this command of the npm package, and not a tool`);
  }
  return path;
}

function toolFor(triple: string, version: string, tools: Release["tools"]): Tool {
  const tool = tools[triple];
  if (tool !== undefined) return tool;
  const there = Object.keys(tools).join(", ");
  throw new Failure(
    `no encoderfile tool for ${triple} in release ${version}, which has: ${there}; set ENCODERFILE_TOOL to the path of one`,
  );
}
