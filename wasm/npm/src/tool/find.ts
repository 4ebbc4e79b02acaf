/**
 * The tool on this machine: the one of ENCODERFILE_TOOL, or the release's, from the cache or
 * fetched into it.
 *
 * @module
 */

import { join } from "node:path";
import { download, hasHash } from "./download.js";
import { Failure } from "./failure.js";
import { cacheFolder, target } from "./machine.js";
import { release } from "./release.js";

const ADDRESS = "ENCODERFILE_BASE_BINARY_BASE_URL";

/** The path of a tool. That of a release has the hash which this package has of it. */
export async function findTool(environment: NodeJS.ProcessEnv): Promise<string> {
  if (environment.ENCODERFILE_TOOL) return environment.ENCODERFILE_TOOL;
  const { version, address, tools } = await release();
  const triple = target();
  const tool = tools[triple];
  if (tool === undefined) {
    const there = Object.keys(tools).join(", ");
    throw new Failure(
      `no encoderfile tool for ${triple} in release ${version}, which has: ${there}; set ENCODERFILE_TOOL to the path of one`,
    );
  }
  const name = process.platform === "win32" ? "encoderfile.exe" : "encoderfile";
  const path = join(cacheFolder(environment), "tool-binaries", "encoderfile", version, triple, name);
  if (await hasHash(path, tool)) return path;
  const base = environment[ADDRESS]?.trim() || address;
  if (!base) throw new Failure(`no address of releases: set ${ADDRESS} to a server or a folder`);
  await download(base, version, tool, path);
  return path;
}
