/**
 * Running a program in place of this command.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Failure, reason } from "./failure.js";

/** Those that end a program which does nothing about them. */
export const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface Program {
  path: string;
  /** Before those of the command. */
  args: readonly string[];
  environment: NodeJS.ProcessEnv;
}

/** Runs it with the same streams, and ends as it does. */
export async function run(program: Program, args: readonly string[]): Promise<void> {
  const { path, environment: env } = program;
  const [code, signal] = await ended(() => spawn(path, [...program.args, ...args], { env, stdio: "inherit" })).catch(
    (error: unknown) => {
      throw new Failure(`${path}: cannot be run: ${reason(error)}`);
    },
  );
  if (signal !== null) process.kill(process.pid, signal);
  process.exitCode = code ?? 1;
}

/** How a program ends that is started, and is passed all signals until then. */
async function ended(start: () => ChildProcess): Promise<[code: number | null, signal: NodeJS.Signals | null]> {
  let child: ChildProcess | undefined;
  const pass = (signal: NodeJS.Signals): void => {
    // A terminal sends Ctrl-C to both.
    if (signal !== "SIGINT" || !process.stdin.isTTY) child?.kill(signal);
  };
  // First: a program runs before `spawn` returns, and would be left alone by a signal until then.
  for (const signal of SIGNALS) process.on(signal, pass);
  try {
    child = start();
    return (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  } finally {
    for (const signal of SIGNALS) process.off(signal, pass);
  }
}
