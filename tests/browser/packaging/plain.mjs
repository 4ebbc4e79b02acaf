// Pages, service workers and extensions without a bundler.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { chromium as playwright } from "playwright-core";
import { FLAGS } from "../chromium.mjs";
import { serve } from "../static.mjs";
import { check, reference } from "./embeddings.mjs";
import { OFFLINE, STRICT, passServed, read, visit } from "./pages.mjs";
import { TIMEOUT_MS } from "./project.mjs";

/** A page that imports the package by its path. */
export async function page(given, project) {
  await passServed(given, project, project.folder, "/");
}

/** A policy that forbids WebAssembly. */
export async function forbidden({ chromium }, project) {
  const headers = { "content-security-policy": STRICT.replace(" 'wasm-unsafe-eval'", "") };
  const server = await serve({ "/": project.folder }, { headers });
  try {
    const { found } = await visit(chromium, `${server.url}/`, /wasm/i);
    checkError(found, "unsupported_environment", /'wasm-unsafe-eval'/);
  } finally {
    await server.close();
  }
}

/** A server that has a page for every address, as those of bundlers do. */
export async function astray({ chromium }, project) {
  const answer = ({ url }, response) => {
    const isProgram = url.endsWith(".wasm");
    if (isProgram) response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html>");
    return isProgram;
  };
  const server = await serve({ "/": project.folder }, { answer });
  try {
    const { found } = await visit(chromium, `${server.url}/`, /favicon\.ico/);
    checkError(found, "http", /`optimizeDeps\.exclude`/);
  } finally {
    await server.close();
  }
}

function checkError({ error }, code, message) {
  assert.equal(error?.name, "EncoderfileError", "it did not fail as it should");
  assert.equal(error.code, code);
  assert.match(error.message, message);
}

/** A page's service worker, where there are no workers. */
export async function serviceWorker({ chromium }, project) {
  const server = await serve({ "/": project.folder }, { headers: { "content-security-policy": STRICT } });
  try {
    const { found, workers } = await visit(chromium, `${server.url}/`);
    check(found, ["here"], await reference(project));
    assert.deepEqual(workers, []);
  } finally {
    await server.close();
  }
}

/** The service worker of an extension, which one of its pages asks. */
export async function extension({ chromium }, project) {
  const profile = project.path("profile");
  await mkdir(profile);
  const flags = [`--disable-extensions-except=${project.folder}`, `--load-extension=${project.folder}`];
  const context = await playwright.launchPersistentContext(profile, {
    executablePath: chromium,
    args: [...FLAGS, ...OFFLINE, ...flags],
  });
  try {
    const [running] = context.serviceWorkers();
    const worker = running ?? (await context.waitForEvent("serviceworker", { timeout: TIMEOUT_MS }));
    const { found } = await read(context, new URL("index.html", worker.url()).href);
    check(found, ["here"], await reference(project));
  } finally {
    await context.close();
  }
}
