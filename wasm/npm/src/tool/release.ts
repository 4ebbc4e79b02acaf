/**
 * The release that this package is of: `release.json` beside the scripts, which a release puts
 * there. Its hashes are what is trusted, wherever bytes come from.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Failure, reason } from "./failure.js";

/** The tool for one machine. */
export interface Tool {
  /** Of the file in the release. */
  name: string;
  /** In bytes. */
  length: number;
  /** In hexadecimal. */
  sha256: string;
}

export interface Release {
  version: string;
  /** Of the folder in which each version has a folder; empty where nobody has said it. */
  address: string;
  /** By target triple. */
  tools: Record<string, Tool>;
}

/** The release of this package. */
export async function release(): Promise<Release> {
  const path = new URL("../release.json", import.meta.url);
  const json = await readFile(path, "utf8").catch(() => undefined);
  if (json === undefined) {
    throw new Failure(
      "this package was not made by a release, so that it knows no encoderfile tool; set ENCODERFILE_TOOL to the path of one",
    );
  }
  try {
    return JSON.parse(json) as Release;
  } catch (error) {
    throw new Failure(`${fileURLToPath(path)}: ${reason(error)}; install the package again`);
  }
}
