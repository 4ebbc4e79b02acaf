// For Node before 22, whose `fs` has no globSync: the conformance suite imports it,
// for a command that is not used here.

import fs from "node:fs";
import { register } from "node:module";

const HOOKS = `
  const FS = "fs-without-glob:";
  export function resolve(specifier, context, next) {
    const isSuite = context.parentURL?.includes("/@modelcontextprotocol/conformance/");
    return specifier === "fs" && isSuite ? { url: FS, shortCircuit: true } : next(specifier, context);
  }
  export function load(url, context, next) {
    const source = 'export * from "node:fs"; export const globSync = undefined;';
    return url === FS ? { format: "module", source, shortCircuit: true } : next(url, context);
  }
`;

if (!fs.globSync) register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
