// What scripts that run the npm package in a page share: a site with the package
// on it, a page with `Encoderfile` in it, and cases with names.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { launchServer } from "./chromium.mjs";

/** The options that every script takes. */
export const { values: given } = parseArgs({
  options: {
    package: { type: "string" },
    files: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    only: { type: "string" },
    runs: { type: "string", default: "5" },
  },
});

const folder = mkdtempSync(join(tmpdir(), "encoderfile-package-"));
execFileSync("tar", ["-xzf", given.package, "-C", folder]);

/** The folders of a site: the package, and the files under test. */
export const roots = { "/package/": join(folder, "package"), "/files/": `${given.files}/` };

/** Answers with an empty page where one is asked for, and with what `other` does elsewhere. */
export const emptyPage = (other) => (request, response) => {
  if (request.url !== "/") return other?.(request, response) ?? false;
  response.setHeader("content-type", "text/html");
  response.end("<!doctype html><title>test</title>");
  return true;
};

// As a server, because that tells which process it is.
const server = await launchServer(given.chromium);
const browser = await chromium.connect(server.wsEndpoint());

/** The browser's process. */
export const processId = () => server.process().pid;

/**
 * A page of a site, in a profile of its own. In it, `load` is the package's, and
 * `failure` gives the code, name and message of what a promise is rejected with.
 */
export async function open(site) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error(`in the page: ${error}`));
  await page.goto(`${site.url}/`);
  await page.evaluate(async () => {
    const { Encoderfile, EncoderfileError } = await import("/package/dist/index.js");
    globalThis.Encoderfile = Encoderfile;
    globalThis.load = (...given) => Encoderfile.load(...given);
    globalThis.failure = async (promise) => {
      try {
        await promise;
      } catch (error) {
        const { code, name, message, status } = error;
        return { ours: error instanceof EncoderfileError, code, name, message, status };
      }
      return { code: "none" };
    };
  });
  return page;
}

/** Runs the cases, or the one asked for; ends the process. */
export async function run(cases) {
  let status = 0;
  for (const [name, check] of Object.entries(cases)) {
    if (given.only && given.only !== name) continue;
    try {
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`FAILED ${name}\n${error.stack}`);
      status = 1;
    }
  }
  await close();
  process.exit(status);
}

/** Ends the browser. */
export async function close() {
  await server.close();
  rmSync(folder, { recursive: true });
}
