// Headless Chromium as every test starts it.

import { chromium } from "playwright-core";

// Root may not use the sandbox, and nothing but our own servers is to be asked.
export const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser; the caller closes it. */
export function launch(executablePath, flags = []) {
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags] });
}

/** One of which the process is known. */
export function launchServer(executablePath) {
  return chromium.launchServer({ executablePath, args: FLAGS });
}
