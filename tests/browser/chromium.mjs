// Headless Chromium as every test starts it.

import { chromium } from "playwright-core";

/** A name of this machine that is not secure, as any but its own address over http. */
const INSECURE = "plain.test";

// Root may not use the sandbox, and nothing but our own servers is to be asked.
export const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  `--host-resolver-rules=MAP ${INSECURE} 127.0.0.1`,
];

/** The same server under a name that browsers do not trust. */
export function insecure(url) {
  const { port } = new URL(url);
  return `http://${INSECURE}:${port}`;
}

/** A browser; the caller closes it. */
export function launch(executablePath, flags = []) {
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags] });
}

/** One of which the process is known. */
export function launchServer(executablePath) {
  return chromium.launchServer({ executablePath, args: FLAGS });
}
