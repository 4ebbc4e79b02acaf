// Pages in Chromium, and everything they do that they should not.

import assert from "node:assert/strict";
import { launch } from "../chromium.mjs";
import { serve } from "../static.mjs";
import { check, reference } from "./embeddings.mjs";
import { TIMEOUT_MS } from "./project.mjs";

/** For what every page here can live with: no CDN, no `eval`, no `blob:`. */
export const STRICT = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

/** No name leads anywhere. */
export const OFFLINE = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];

/** Serves a folder at `prefix`, under the strict policy, and checks the page in it. */
export async function passServed(given, project, folder, prefix) {
  const server = await serve({ [prefix]: folder }, { headers: { "content-security-policy": STRICT } });
  try {
    await passApp(given, project, `${server.url}${prefix}`);
  } finally {
    await server.close();
  }
}

/** Checks a page that loads the model in a worker, in its own thread, and in two workers. */
export async function passApp({ chromium }, project, url, expected) {
  const { found, workers, isolated } = await visit(chromium, url, expected);
  check(found, ["worker", "here", "workers"], await reference(project));
  assert.equal(workers.length, 1 + 0 + 2, `workers: ${workers}`);
  assert.ok(!isolated, "nothing here needs the page to be isolated");
}

/** Reads a page in a browser of its own. */
export async function visit(chromium, url, expected) {
  const browser = await launch(chromium, OFFLINE);
  try {
    return await read(await browser.newContext(), url, expected);
  } finally {
    await browser.close();
  }
}

/**
 * Opens a page and waits for the JSON in its `<output>`. Gives that, with the
 * addresses of the workers it had.
 *
 * Whatever it asks elsewhere fails, and whatever it logs or is denied by its
 * policy, unless that matches `expected`.
 */
export async function read(context, url, expected) {
  const seen = watch(context, expected);
  const page = await context.newPage();
  page.on("worker", (worker) => seen.workers.push(worker.url()));
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) =>
      console.error(`${event.violatedDirective} forbids ${event.blockedURI}`),
    ),
  );
  const thrown = new Promise((_, reject) => context.once("weberror", (error) => reject(error.error())));
  // Nobody waits for it before the page is there.
  thrown.catch(() => undefined);
  await page.goto(url);
  const text = page.locator("output:not(:empty)").textContent({ timeout: TIMEOUT_MS });
  const found = await Promise.race([text, thrown]).catch((error) => {
    throw new Error([error.message, ...seen.problems].join("\n"));
  });
  const isolated = await page.evaluate(() => crossOriginIsolated);
  seen.pass(new URL("/", url).href);
  return { found: JSON.parse(found), workers: seen.workers, isolated };
}

/** Takes down what a context asks for, and what it complains of unless that matches `expected`. */
function watch(context, expected = /^$/) {
  const seen = { requests: [], workers: [], problems: [], pass };
  const complain = (text) => expected.test(text) || seen.problems.push(text);
  context.on("request", (request) => seen.requests.push(request.url()));
  context.on("console", (message) => {
    const isProblem = ["error", "warning"].includes(message.type());
    if (isProblem) complain(`${message.text()} (${message.location().url})`);
  });

  /** Fails if there was a problem, or if anything was asked of anybody but `own`. */
  function pass(own) {
    assert.deepEqual(seen.problems, []);
    assert.ok(seen.requests.length > 0);
    const elsewhere = seen.requests.filter((url) => !url.startsWith(own));
    assert.deepEqual(elsewhere, [], "asked for elsewhere");
  }
  return seen;
}
