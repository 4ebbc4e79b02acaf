// The declarations, as the compiler of somebody else reads them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** A project that asks the compiler for everything. */
export const OPTIONS = {
  target: "es2022",
  lib: ["es2022", "dom", "dom.iterable"],
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
};

/** The declarations, all of them, by each of the ways in which they are found. */
export async function types(given, project) {
  await everythingIsUsed(project);
  for (const [module, moduleResolution] of [
    ["esnext", "bundler"],
    ["node16", "node16"],
    ["nodenext", "nodenext"],
  ]) {
    await project.tsc({ compilerOptions: { ...OPTIONS, module, moduleResolution, noEmit: true } });
  }
}

/** What is public and not in `consumer.ts` would never be checked. */
async function everythingIsUsed(project) {
  const read = (name) => readFile(join(project.package, "dist", name), "utf8");
  const [index, declared, methods] = await Promise.all(["index.d.ts", "types.d.ts", "encoderfile.d.ts"].map(read));
  const consumer = await readFile(project.path("consumer.ts"), "utf8");
  const lists = [...index.matchAll(/\{ (.*) \}/g)].map(([, list]) => list.replaceAll("type ", "").split(", "));
  const named = [
    ...declared.matchAll(/^export (?:interface|type) (\w+)/gm),
    ...methods.matchAll(/^ {4}(?:static |readonly )?(\w+)[(:]/gm),
  ].map(([, name]) => name);
  const names = [...lists.flat(), ...named];
  for (const name of ["ErrorCode", "Tokenized", "embed"]) assert.ok(names.includes(name), `${name}: not among ${names}`);
  const unused = names.filter((name) => name !== "constructor" && !new RegExp(`\\b${name}\\b`).test(consumer));
  assert.deepEqual(unused, [], "public, but not in consumer.ts");
}
