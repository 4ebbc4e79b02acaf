#!/usr/bin/env node
/**
 * `encoderfile`: the tool of this version, fetched from its release the first time that it is
 * run, and kept.
 *
 * @module
 */

import { Failure } from "./failure.js";
import { find } from "./find.js";
import { run } from "./run.js";

try {
  await run(await find(process.env), process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
