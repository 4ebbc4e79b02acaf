// A component as a library of JavaScript: transpiled by jco, called in Node.
// Usage: node component_library.mjs DIR
//
// DIR has NAME.wasm of each model and `printed.json`, what the command line prints; the transpiled
// modules are put into it, each in a folder with the model's name. `ok NAME` for each check; the
// first that fails ends the script with status 1.

import { execFileSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { MODELS, run } from "./component/checks.js";

const folder = resolve(process.argv[2]);
// What a project has that installed both packages.
symlinkSync(fileURLToPath(new URL("node_modules", import.meta.url)), join(folder, "node_modules"));
writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));

const jco = createRequire(import.meta.url).resolve("@bytecodealliance/jco/package.json");
const program = join(dirname(jco), JSON.parse(readFileSync(jco, "utf8")).bin.jco);
const libraries = {};
for (const name of MODELS) {
  const out = join(folder, name);
  execFileSync(process.execPath, [program, "transpile", join(folder, `${name}.wasm`), "-o", out, "--quiet"]);
  libraries[name] = await import(pathToFileURL(join(out, `${name}.js`)));
}
const printed = JSON.parse(readFileSync(join(folder, "printed.json"), "utf8"));
try {
  for (const line of run(libraries, printed)) console.log(line);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
