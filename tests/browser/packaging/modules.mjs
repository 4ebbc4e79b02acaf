// What the package is made of: modules for every engine, under every policy.

import assert from "node:assert/strict";
import { access, readFile, readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { check, reference } from "./embeddings.mjs";

/** What has no place in the scripts: every engine and policy must do with them. */
const FORBIDDEN = {
  "a CommonJS import": /(?<![#.\w])require\s*\(/,
  "code in a text": /\beval\s*\(|\bnew Function\b|\bimportScripts\s*\(/,
  "a worker from a text": /["'`]blob:|createObjectURL/,
  // The keys of the cache have to be addresses.
  "an address": /["'`](https?|wss?):\/\/(?!encoderfile\.invalid\/)/,
};

/** WebAssembly as rustc makes it by default, with SIMD: every engine of 2021 has that. */
const FEATURES = [
  "bulk-memory",
  "bulk-memory-opt",
  "call-indirect-overlong",
  "multivalue",
  "mutable-globals",
  "nontrapping-fptoint",
  "reference-types",
  "sign-ext",
  "simd128",
];

/** Modules and WebAssembly that ask for nothing special; Deno runs them, too, where there is one. */
export async function modules(given, project) {
  const dist = join(project.package, "dist");
  await checkScripts(dist);
  const bytes = await readFile(join(dist, "encoderfile.wasm"));
  assert.ok(!bytes.includes(join(homedir(), ".cargo")), "a folder of whoever built it");
  const program = await WebAssembly.compile(bytes);
  assert.deepEqual(features(program).filter((name) => !FEATURES.includes(name)), [], "features of WebAssembly");
  const names = [".", "./langchain", "./worker.js", "./encoderfile.wasm", "./package.json"];
  const { exports } = JSON.parse(await readFile(join(project.package, "package.json"), "utf8"));
  assert.deepEqual(Object.keys(exports), names);
  for (const path of Object.values(exports).flatMap((it) => (typeof it === "string" ? it : Object.values(it)))) {
    await access(join(project.package, path));
  }
  await deno(project);
}

async function checkScripts(dist) {
  const names = (await readdir(dist)).filter((name) => name.endsWith(".js"));
  const texts = await Promise.all(names.map((name) => readFile(join(dist, name), "utf8")));
  const scripts = new Map(names.map((name, index) => [name, texts[index]]));
  assert.ok(scripts.size > 10, `scripts: ${[...scripts.keys()]}`);
  for (const [name, text] of scripts) {
    const code = text.replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
    for (const [what, pattern] of Object.entries(FORBIDDEN)) {
      assert.doesNotMatch(code, pattern, `${name} has ${what}`);
    }
    for (const [, specifier] of code.matchAll(/\b(?:from|import)\b\s*\(?\s*["']([^"']+)["']/g)) {
      const isNode = specifier.startsWith("node:") && name === "node.js";
      const isOwn = specifier.startsWith("./") && scripts.has(specifier.slice(2));
      assert.ok(isNode || isOwn, `${name} imports ${specifier}`);
    }
  }
}

/** What a module says it uses: entries of a sign, a length and a name, after their number. */
function features(module) {
  const [section] = WebAssembly.Module.customSections(module, "target_features");
  assert.ok(section, "the module does not say what it uses");
  const bytes = new Uint8Array(section);
  const names = [];
  for (let at = 1; at < bytes.length; at += 2 + bytes[at + 1]) {
    names.push(new TextDecoder().decode(bytes.subarray(at + 2, at + 2 + bytes[at + 1])));
  }
  return names;
}

async function deno(project) {
  const permissions = ["--no-remote", "--no-prompt", "--allow-read=."];
  const printed = await project.run("deno", ["run", ...permissions, "reference.js"]).catch((error) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (printed === undefined) return console.log("skipped deno: none on PATH");
  check(JSON.parse(printed), ["node"], await reference(project));
}
