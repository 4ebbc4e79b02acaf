/**
 * Which machine this is.
 *
 * @module
 */

import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import { Failure } from "./failure.js";

const PROCESSORS: Partial<Record<NodeJS.Architecture, string>> = { x64: "x86_64", arm64: "aarch64" };

const SYSTEMS: Partial<Record<NodeJS.Platform, string>> = {
  darwin: "apple-darwin",
  linux: "unknown-linux-gnu",
  win32: "pc-windows-msvc",
};

/** The target triple of this machine, as the tool says it, whether or not there is a tool for it. */
export function target(): string {
  const processor = PROCESSORS[process.arch] ?? process.arch;
  const system = SYSTEMS[process.platform] ?? process.platform;
  return `${processor}-${process.platform === "linux" && isMusl() ? "unknown-linux-musl" : system}`;
}

/** Whether the C library is not glibc. */
function isMusl(): boolean {
  // Of the network it may say nothing for seconds; Node 20 says it anyway.
  (process.report as { excludeNetwork?: boolean }).excludeNetwork = true;
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined;
}

/** Where the tool keeps what it downloads, by the same rules as the tool. */
export function cacheFolder(environment: NodeJS.ProcessEnv): string {
  return join(cachesOf(environment), "encoderfile");
}

function cachesOf({ XDG_CACHE_HOME, LOCALAPPDATA }: NodeJS.ProcessEnv): string {
  if (XDG_CACHE_HOME) return XDG_CACHE_HOME;
  if (process.platform === "win32" && LOCALAPPDATA) return LOCALAPPDATA;
  return join(home(), process.platform === "darwin" ? "Library/Caches" : ".cache");
}

function home(): string {
  try {
    return homedir() || userInfo().homedir;
  } catch {
    // A user whom the system does not know, as in containers.
    throw new Failure("no folder to keep the tool in: set XDG_CACHE_HOME or HOME");
  }
}
