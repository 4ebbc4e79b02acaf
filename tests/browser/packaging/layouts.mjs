// The payload where executables and images have it: not at the end of the file, so that it is found
// by what the file says of itself.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { serve } from "../static.mjs";
import { embed } from "./fixtures/shared/embed.js";
import { MODEL } from "./project.mjs";

const TEXT = new TextEncoder();

const BLOCK = 512;

/** A Mach-O file of one segment, and what a code signature may be behind it. */
function machO(payload) {
  const [header, segment, section] = [32, 72, 80];
  const start = header + segment + section;
  const file = new Uint8Array(start + payload.length + 777).fill(0xee, start + payload.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0xfeedfacf, true);
  view.setUint32(16, 1, true);
  view.setUint32(20, segment + section, true);
  view.setUint32(header, 0x19, true);
  view.setUint32(header + 4, segment + section, true);
  file.set(TEXT.encode("__ENCODERFILE"), header + 8);
  view.setUint32(header + 64, 1, true);
  file.set(TEXT.encode("__payload"), header + segment);
  view.setBigUint64(header + segment + 40, BigInt(payload.length), true);
  view.setUint32(header + segment + 48, start, true);
  file.set(payload, start);
  return file;
}

/** A PE file that somebody signed after it had its payload. */
function signedPe(payload) {
  const [start, signature, optional] = [0x200, 0x40, 0x58];
  const end = start + Math.ceil(payload.length / 8) * 8;
  const file = new Uint8Array(end + 1000).fill(0xee, end);
  const view = new DataView(file.buffer);
  file.set(TEXT.encode("MZ"));
  view.setUint32(0x3c, signature, true);
  file.set(TEXT.encode("PE\0\0"), signature);
  view.setUint16(optional, 0x20b, true);
  view.setUint32(optional + 108, 16, true);
  view.setUint32(optional + 112 + 8 * 4, end, true);
  view.setUint32(optional + 112 + 8 * 4 + 4, 1000, true);
  file.set(payload, start);
  return file;
}

/** A tar archive. */
function archive(files) {
  const length = files.reduce((sum, file) => sum + BLOCK + Math.ceil(file.length / BLOCK) * BLOCK, 2 * BLOCK);
  const archive = new Uint8Array(length);
  let at = 0;
  for (const file of files) {
    archive.set(TEXT.encode("x"), at);
    archive.set(TEXT.encode(`${file.length.toString(8).padStart(11, "0")}\0`), at + 124);
    archive.set(TEXT.encode("0"), at + 156);
    archive.set(TEXT.encode("ustar"), at + 257);
    archive.set(file, at + BLOCK);
    at += BLOCK + Math.ceil(file.length / BLOCK) * BLOCK;
  }
  return archive;
}

/** A container image, whose last layer has the payload as its one file. */
const image = (payload) => archive([TEXT.encode("{}"), archive([payload])]);

/** What the tool writes for hosts of WebAssembly. */
const WASM = {
  module: ["--target", "wasm32-wasip1"],
  component: ["--target", "wasm32-wasip2"],
  snapshot: ["--target", "wasm32-wasip2", "--snapshot"],
  ahead: ["--target", "wasm32-wasip2", "--precompile"],
};

/** The model of the project, built by the tool. */
async function built(given, project, options) {
  const [from, file] = [join(project.folder, MODEL), join(project.folder, "built")];
  execFileSync(given.tool, ["build", "--from", from, ...options, "-o", file], { stdio: "pipe" });
  return new Uint8Array(await readFile(file));
}

/** The same results from each, of memory and of a server. */
export async function layouts(given, project) {
  const module = join(project.package, "dist", "node.js");
  const { Encoderfile } = await import(pathToFileURL(module));
  const payload = new Uint8Array(await readFile(join(project.folder, MODEL)));
  const embeddings = (source) => embed(Encoderfile, source, { worker: false });
  const expected = await embeddings(payload);
  const server = await serve({ "/": project.folder });
  try {
    const files = Object.entries({ machO, signedPe, image }).map(([name, layout]) => [name, layout(payload)]);
    for (const [name, options] of Object.entries(WASM)) files.push([name, await built(given, project, options)]);
    for (const [name, file] of files) {
      assert.deepEqual(await embeddings(file), expected, name);
      await writeFile(join(project.folder, name), file);
      assert.deepEqual(await embeddings(`${server.url}/${name}`), expected, `${name} of a server`);
    }
  } finally {
    await server.close();
  }
}
