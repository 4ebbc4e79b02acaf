/**
 * Where a release is: a server, or a folder.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure, reason } from "./failure.js";

/** A file of a release. */
export interface Source {
  /** For messages. */
  place: string;
  open(signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** A file of a version, below `https://…`, `http://…`, `file://…` or the path of a folder. */
export function source(base: string, version: string, name: string): Source {
  if (/^https?:\/\//.test(base)) return ofServer(`${base.replace(/\/+$/, "")}/v${version}/${name}`);
  if (base.includes("://") && !base.startsWith("file://")) {
    throw new Failure(`${base}: neither https://…, http://…, file://… nor a folder`);
  }
  const folder = base.startsWith("file://") ? fileURLToPath(base) : base;
  const place = join(folder, `v${version}`, name);
  return { place, open: async (signal) => createReadStream(place, { signal }) };
}

function ofServer(url: string): Source {
  const { username, password, href } = new URL(url);
  const place = href.replace(`${username}:${password}@`, "");
  const open = async (signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> => {
    useProxy();
    const response = await fetch(url, { signal }).catch((error: unknown) => {
      throw signal.aborted ? error : new Failure(`${place}: ${reason(error)}`);
    });
    if (!response.ok || response.body === null) {
      throw new Failure(`${place}: the server answers ${response.status}`);
    }
    return response.body;
  };
  return { place, open };
}

/** Node asks proxies if it was told so when it started: this command starts itself again. */
function useProxy(): void {
  const { env } = process;
  const hasProxy = ["http_proxy", "https_proxy"].some((name) => env[name] || env[name.toUpperCase()]);
  if (!hasProxy || env.NODE_USE_ENV_PROXY !== undefined) return;
  const again = spawnSync(process.execPath, process.argv.slice(1), {
    env: { ...env, NODE_USE_ENV_PROXY: "1" },
    stdio: "inherit",
  });
  process.exit(again.status ?? 1);
}
