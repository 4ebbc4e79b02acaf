/**
 * Proxies, which Node asks if it was told so when it started.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { Program } from "./run.js";

const VARIABLES = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

/** This command once more, by a Node that asks proxies; `undefined` where there is no need. */
export function withProxy(environment: NodeJS.ProcessEnv): Program | undefined {
  const hasProxy = VARIABLES.some((name) => environment[name]);
  if (!hasProxy || environment.NODE_USE_ENV_PROXY !== undefined) return undefined;
  const script = fileURLToPath(new URL("main.js", import.meta.url));
  return {
    path: process.execPath,
    args: [...process.execArgv, script],
    // Node warns that proxies are new to it.
    environment: { ...environment, NODE_USE_ENV_PROXY: "1", NODE_NO_WARNINGS: "1" },
  };
}
