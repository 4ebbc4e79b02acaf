/**
 * Files, where there is a file system: `node.ts` says how they are read.
 *
 * @module
 */

import type { Sliceable } from "./incoming.js";

/** A file system. */
export interface Files {
  /** The file that an address or path leads to; `undefined` where that is no file's. */
  open(source: string | URL): Promise<Sliceable | undefined>;
}

let files: Files | undefined;

export function useFiles(system: Files): void {
  files = system;
}

/** Whether there are files. */
export function hasFiles(): boolean {
  return files !== undefined;
}

/** The file of an address or path, where there are files. */
export async function openFile(source: string | URL): Promise<Sliceable | undefined> {
  return files?.open(source);
}
