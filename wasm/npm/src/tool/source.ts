/**
 * Where a release is: a server, or a folder.
 *
 * @module
 */

import { createReadStream } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure } from "./failure.js";

/** The variable that says where releases are. */
export const ADDRESS = "ENCODERFILE_BASE_BINARY_BASE_URL";

/** Until a server begins to answer, redirections and all. */
const ANSWER_MS = 60_000;

/** A file of a release. */
export interface Source {
  /** For messages. */
  place: string;
  isServer: boolean;
  open(signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** A file of a version, below `https://…`, `http://…`, `file://…` or the path of a folder. */
export function source(base: string, version: string, name: string): Source {
  if (!base.includes("://")) return ofFolder(join(base, `v${version}`, name));
  const url = URL.canParse(base) ? new URL(base) : undefined;
  // A name and password would be in every message.
  if (url === undefined || url.username || url.password) throw wrong(base);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v${version}/${encodeURIComponent(name)}`;
  if (url.protocol === "https:" || url.protocol === "http:") return ofServer(url);
  if (url.protocol !== "file:") throw wrong(base);
  try {
    return ofFolder(fileURLToPath(url));
  } catch {
    throw wrong(base);
  }
}

function wrong(base: string): Failure {
  const shown = base.replace(/\/\/.*@/, "//…@");
  return new Failure(`${ADDRESS}: ${shown} is neither https://…, http://…, file://… nor a folder`);
}

function ofFolder(place: string): Source {
  return { place, isServer: false, open: async (signal) => createReadStream(place, { signal }) };
}

function ofServer(url: URL): Source {
  // Without the query, which may hold a signature.
  const place = url.origin + url.pathname;
  const open = async (signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> => {
    const response = await answer(url, signal);
    if (!response.ok || response.body === null) throw new Error(`the server answers ${response.status}`);
    return response.body;
  };
  return { place, isServer: true, open };
}

/** Node asks a proxy that only hangs up again and again, without end. */
async function answer(url: URL, signal: AbortSignal): Promise<Response> {
  const request = new AbortController();
  const stop = (): void => request.abort(signal.reason);
  signal.addEventListener("abort", stop);
  const late = new Error(`no answer within ${ANSWER_MS / 1000} s`);
  const timer = setTimeout(() => request.abort(late), ANSWER_MS);
  try {
    return await fetch(url, { signal: request.signal });
  } finally {
    // The signal ends the body too.
    clearTimeout(timer);
  }
}
