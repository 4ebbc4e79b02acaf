// A component as a library of JavaScript: transpiled by jco, called in Node.
// Usage: node component_library.mjs DIR
//
// DIR has NAME.wasm of each model and `printed.json`, what the command line prints; the transpiled
// modules are put into it, each in a folder with the model's name. `ok NAME` for each check; the
// first that fails ends the script with status 1.

import { execFileSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { _addPreopen } from "@bytecodealliance/preview2-shim/filesystem";
import { MODELS, run } from "./component/checks.js";

const folder = resolve(process.argv[2]);
// What a project has that installed both packages.
symlinkSync(fileURLToPath(new URL("node_modules", import.meta.url)), join(folder, "node_modules"));
writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));

const jco = fileURLToPath(new URL("node_modules/@bytecodealliance/jco/dist/jco.js", import.meta.url));
const libraries = {};
// preview2-shim grants no folder by itself.
_addPreopen("/models", folder);
for (const name of MODELS) {
  const out = join(folder, name);
  execFileSync(process.execPath, [jco, "transpile", join(folder, `${name}.wasm`), "-o", out, "--quiet"]);
  libraries[name] = await import(pathToFileURL(join(out, `${name}.js`)));
}
const printed = JSON.parse(readFileSync(join(folder, "printed.json"), "utf8"));
try {
  for (const line of run(libraries, printed, "/models")) console.log(line);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
