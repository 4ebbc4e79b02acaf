/**
 * Running the tool in place of this command.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { Failure, reason } from "./failure.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Runs it with the same streams, and ends as it does. */
export async function run(tool: string, args: readonly string[]): Promise<void> {
  const child = spawn(tool, args, { stdio: "inherit" });
  const pass = (signal: NodeJS.Signals): void => {
    // A terminal sends Ctrl-C to both.
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, pass);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", (error) => reject(new Failure(`${tool}: ${reason(error)}`)));
    child.once("exit", (...ended) => resolve(ended));
  });
  for (const signal of SIGNALS) process.off(signal, pass);
  if (signal !== null) process.kill(process.pid, signal);
  process.exitCode = code ?? 1;
}
