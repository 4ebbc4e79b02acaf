// Drives the demo page in headless Chromium as a person would.
// Usage: node demo.mjs --site DIR --models DIR [--chromium PATH] [--shots DIR]
//
// The site is what `cargo xtask demo` builds. The models are bundles NAME.ef of small
// models of every kind: ner, classifier, nli, rerank, late, mask, sparse, tokens. All the
// time: nothing is logged as an error, nothing breaks the Content-Security-Policy,
// nothing is asked for elsewhere. `ok NAME` for each check; the first that fails ends
// the script with status 1.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { insecure, launch } from "./chromium.mjs";
import { contrast, everyControlHasAName, noSidewaysScroll } from "./looks.mjs";
import { serve } from "./static.mjs";

const { values: given } = parseArgs({
  options: {
    site: { type: "string" },
    models: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    shots: { type: "string" },
  },
});
/** Not the root: every path of the page has to be relative. */
const FOLDER = "/some/folder/";
const roots = { [FOLDER]: given.site, "/models/": given.models };
const site = await serve(roots);
const browser = await launch(given.chromium);
/** What the page logs, breaks or asks for, and should not. */
const problems = [];
const MODELS = ["ner", "classifier", "nli", "rerank", "late", "mask", "sparse", "tokens"];
const PASSAGES = 43;

/** The page in a window of its own; what it logs must match `expected`. */
async function open({ width = 1280, colorScheme = "light", expected = /^$/, url = site.url } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme,
    reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  await context.addInitScript(watch);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complain = (text) => expected.test(text) || problems.push(`${width} ${colorScheme}: ${text}`);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(message.text()));
  page.on("pageerror", (error) => complain(`uncaught ${error.stack}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) complain(`asks elsewhere: ${request.url()}`);
  });
  await page.goto(url + FOLDER);
  return page;
}

/** Runs before the page's own scripts. */
function watch() {
  globalThis.amounts = [];
  globalThis.embedded = [];
  addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  const send = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, transfer) {
    for (const call of message.calls ?? []) {
      if (call.method === "embed" && call.options.includes("document")) embedded.push(call.text);
    }
    return send.call(this, message, transfer);
  };
  addEventListener("DOMContentLoaded", () => {
    const amount = document.getElementById("loading-amount");
    new MutationObserver(() => amounts.push(amount.textContent)).observe(amount, { childList: true });
  });
}

/** Waits until the model is there and nothing remains to be computed. */
async function settled(page) {
  await page.waitForSelector("#loading", { state: "hidden" });
  await page.waitForFunction(() => {
    const words = document.querySelector(".working-words");
    return !words || /^\d[\d,]* passages?\b(?! of)/.test(words.textContent);
  });
}

async function opened(options) {
  const page = await open(options);
  await settled(page);
  return page;
}

/** Waits until the first passage of the list is the one looked for. */
const firstIs = (page, words) =>
  page.waitForFunction((words) => document.querySelector(".hit-text")?.textContent.includes(words), words);

async function drop(page, files) {
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const { name, bytes, type } of files) {
      const content = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([content], name, { type }));
    }
    return transfer;
  }, files.map(({ name, content, type = "" }) => ({ name, type, bytes: Buffer.from(content).toString("base64") })));
  await page.dispatchEvent("#panel", "dragenter", { dataTransfer: transfer });
  await page.waitForSelector("#drop:not([hidden])");
  await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
}

/** In place of what is there. */
async function paste(page, text) {
  await page.evaluate((text) => navigator.clipboard.writeText(text), text);
  await page.focus("#text");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Control+v");
}

const model = (name) => readFile(join(given.models, `${name}.ef`));

async function choose(page, name) {
  await page.setInputFiles("#model-file", join(given.models, `${name}.ef`));
  await page.waitForFunction((name) => document.getElementById("model-source").textContent.includes(`${name}.ef`), name);
  await settled(page);
  if (!(await page.locator("#texts").isVisible())) await page.waitForFunction(() => document.querySelector(".own").childElementCount);
}

async function firstLoad() {
  const page = await open();
  // All of this is there before the model.
  await page.waitForSelector(".hit-text");
  await settled(page);
  const amounts = await page.evaluate(() => globalThis.amounts);
  assert.ok(amounts.some((amount) => /\d MB of 2\d\.\d MB from the network/.test(amount)), amounts.join());
  await firstIs(page, "Homing pigeons");
  assert.match(await page.locator(".working-words").innerText(), /^43 passages searched in/);
  await page.waitForFunction(() => [...document.querySelectorAll("#timings b")].every((figure) => /\d/.test(figure.textContent)));
  assert.match(await page.locator("#timings").innerText(), /from the network[^]*MB[^]*passages\/s/);
  await page.waitForSelector("#saved:not([hidden])");
  await page.context().close();
}

async function searchAsYouType(page) {
  const field = page.locator("[name=query]");
  const wanted = { "money that grows by itself": "At seven percent", "somebody is unhappy with a shop": "The headphones", "bread": "A sourdough" };
  for (const [query, words] of Object.entries(wanted)) {
    await field.fill("");
    await page.waitForFunction(() => document.getElementById("hits-title").textContent === "Passages");
    await field.pressSequentially(query, { delay: 5 });
    await firstIs(page, words);
    const scores = (await page.locator(".hit-score .number").allInnerTexts()).map(Number);
    assert.deepEqual(scores, scores.toSorted((a, b) => b - a), "best first");
  }
  assert.equal(await page.locator(".hit").count(), 8);
  await page.locator(".more").click();
  assert.equal(await page.locator(".hit").count(), 32);
  await page.locator(".examples button").nth(2).click();
  await firstIs(page, "Get up at the same hour");
}

async function ownText(page) {
  const before = await page.inputValue("#text");
  await page.evaluate(() => (embedded.length = 0));
  await page.fill("#text", before.replace("Cook the onions slowly", "Cook the shallots slowly"));
  await page.waitForFunction(() => embedded.length > 0);
  await settled(page);
  const again = await page.evaluate(() => embedded);
  assert.equal(again.length, 1, "only what was changed is embedded again");
  assert.match(again[0], /shallots/);

  await paste(page, "# Boats\n\nThe ferry to the island leaves at noon.\n\nA canoe was stolen.\n\nThe recipe needs two eggs.");
  await page.waitForFunction(() => document.getElementById("texts-status").textContent === "3 passages");
  await page.fill("[name=query]", "when does the ship go?");
  await firstIs(page, "Boats\nThe ferry");
  const text = "Die Katze schläft auf dem Sofa.\n\nA lighthouse guides sailors at night.";
  await drop(page, [{ name: "notes.md", content: text }]);
  await page.waitForFunction(() => document.getElementById("texts-status").textContent === "5 passages");
  await page.fill("[name=query]", "a light at the coast");
  await firstIs(page, "A lighthouse");
  await page.click("#use-sample");
  await settled(page);
  await drop(page, [{ name: "list", content: "one line\nanother line\n" }, { name: "old.txt", content: Buffer.from("caf\xe9", "latin1") }]);
  await page.waitForFunction(() => document.getElementById("text").value === "one line\nanother line\n\ncafé");
}

async function longText(page) {
  const lines = (count) => Array.from({ length: count }, (_, index) => `Number ${index} is a number.`).join("\n");
  await paste(page, lines(300));
  const button = page.locator(".working button");
  await page.waitForFunction(() => /^Embedded [1-9]\d* of 300/.test(document.querySelector(".working-words").textContent));
  await button.click();
  await page.waitForFunction(() => document.querySelector(".working button").innerText === "Continue");
  const words = await page.locator(".working-words").innerText();
  await page.fill("[name=query]", "a number");
  await page.waitForFunction(() => document.querySelector(".hit-score:not([hidden])"));
  assert.equal(await page.locator(".working-words").innerText(), words, "it stays stopped, and can be searched");
  await button.click();
  await page.waitForFunction((words) => document.querySelector(".working-words").textContent !== words, words);
  await paste(page, lines(2100));
  await page.waitForSelector("#texts-notice:not([hidden])");
  assert.match(await page.locator("#texts-notice").innerText(), /2,100 passages. The first 2,000 are used/);
  await page.click("#clear-text");
  await page.waitForSelector("#texts-notice", { state: "hidden" });
  await page.click("#use-sample");
  await settled(page);
}

async function map(page) {
  await page.waitForFunction((count) => document.querySelector(".map-frame").dataset.points === `${count}`, PASSAGES);
  assert.equal(await page.locator(".map-point:not(.is-nowhere)").count(), PASSAGES);
  await page.fill("[name=query]", "the first computer program");
  await firstIs(page, "Ada Lovelace");
  assert.equal(await page.locator(".map-pin:not(.is-nowhere)").count(), 5);
  assert.equal(await page.locator(".map-query:not(.is-nowhere)").count(), 1);
  await page.locator(".map-frame").focus();
  await page.keyboard.press("Home");
  assert.match(await page.locator("#announcer").innerText(), /Ada Lovelace/);
  assert.match(await page.locator(".map-note").innerText(), /Ada Lovelace[^]*similarity 0\.\d\d/);
  const seen = new Set();
  for (const key of ["ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"]) {
    await page.keyboard.press(key);
    seen.add(await page.locator("#announcer").innerText());
  }
  assert.ok(seen.size > 2, "arrows go from passage to passage");
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  assert.match(await page.locator(".hit.is-picked").innerText(), /Ada Lovelace/);
  await page.locator(".pin").nth(1).click();
  assert.equal(await page.locator(".map-note:not([hidden])").count(), 1);
  await page.locator(".neighbours summary").click();
  await page.waitForFunction((count) => document.querySelectorAll(".neighbours tbody tr").length === count, PASSAGES);
  await page.locator(".neighbours summary").click();
}

/** The digest of the default model, from its footer as wasm/npm/src/footer.ts reads it. */
async function defaultDigest() {
  const file = await readFile(join(given.site, "all-MiniLM-L6-v2.ef"));
  const [payload, metadata] = [12, 20].map((at) => Number(file.readBigUInt64LE(file.length - 32 + at)));
  const end = file.length - payload + metadata;
  return file.toString("hex", end - 32, end);
}

async function contents(page) {
  const text = (await page.locator("#contents").innerText()).replace(/\s*\n\s*/g, "\n");
  const digest = await defaultDigest();
  const shown = [/Weights\n2\d\.\d MB/, /Total\n2\d\.\d MB/, /Apache-2.0/, /sentence_bert_config.json/, /Minimum cosine similarity to f32\n0\.9\d+/];
  for (const words of [...shown, new RegExp(`${digest.slice(0, 6)}…${digest.slice(-6)}`)]) assert.match(text, words);
  await page.getByRole("button", { name: "Copy Payload digest" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), digest);
  assert.equal(await page.locator(".stack .part").count(), 5);
}

async function searchInOneContext() {
  const page = await opened();
  for (const part of [contents, map, searchAsYouType, ownText, longText]) {
    await part(page);
    assert.deepEqual(problems, [], part.name);
  }
  await page.context().close();
}

async function otherModels() {
  const page = await opened();
  const text = "🎉 Zoë 👩‍👩‍👧 met Tim Cook at 北京大学 in London, 東京 <b>too</b>.";
  await drop(page, [{ name: "ner.ef", content: await model("ner") }]);
  await page.waitForSelector("[data-panel=entities]");
  await page.fill("[name=text]", text);
  await page.waitForFunction((text) => {
    const copy = document.querySelector(".own .marked")?.cloneNode(true);
    copy?.querySelectorAll(".kind-name").forEach((label) => label.remove());
    return copy?.textContent === text;
  }, text);
  await settled(page);
  assert.equal(await page.locator(".legend li").count(), 3);
  assert.ok((await page.locator(".each mark").count()) > 0);

  await page.fill("#address", `${site.url}/models/classifier.ef`);
  await page.keyboard.press("Enter");
  await page.waitForSelector("[data-panel=classify]");
  await page.waitForFunction(() => document.querySelectorAll(".own .bars li").length === 3);
  await settled(page);
  const counts = (await page.locator(".distribution .number").allInnerTexts()).map((words) => Number.parseInt(words, 10));
  assert.equal(counts.reduce((sum, count) => sum + count, 0), await page.evaluate(() => Number.parseInt(document.getElementById("texts-status").textContent, 10)));

  await choose(page, "nli");
  await page.fill("[name=labels]", "blue, green");
  await page.waitForFunction(() => /^(blue|green)$/.test(document.querySelector(".own .bar-label")?.textContent));
  await settled(page);
  await choose(page, "rerank");
  await page.fill("[name=query]", "Who was deaf?");
  await page.waitForFunction(() => document.querySelector(".hit-score:not([hidden])"));
  await choose(page, "late");
  await page.fill("[name=query]", "Who lived in Baker Street?");
  await page.waitForFunction(() => document.querySelector(".hit-score:not([hidden])"));
  await choose(page, "mask");
  await page.waitForFunction(() => document.querySelectorAll(".own .bars li").length === 8);
  await choose(page, "sparse");
  await page.waitForFunction(() => document.querySelectorAll(".own .bars li").length > 8);
  await choose(page, "tokens");
  await page.waitForFunction(() => document.querySelectorAll(".own .token").length > 8);
  await page.locator(".own .token").nth(1).click();
  assert.ok(JSON.parse(await page.locator(".own .vector").innerText()).length > 1);
  await page.click("#default-model");
  await settled(page);
  await firstIs(page, "Homing pigeons");
  assert.match(await page.locator("#timings").innerText(), /from this browser’s cache/);
  await page.context().close();
}

async function failures() {
  const page = await opened({ expected: /404/ });
  const whole = await model("ner");
  const changed = Buffer.from(whole);
  changed[changed.length >> 1] ^= 1;
  const fails = async (files, words) => {
    await drop(page, files);
    await page.waitForFunction((words) => new RegExp(words).test(document.getElementById("problem").textContent), words);
    assert.match(await page.locator("#problem").innerText(), /all-MiniLM-L6-v2 is still in use/);
  };
  await fails([{ name: "changed.ef", content: changed }], "changed.ef.*is damaged.*corrupt");
  await fails([{ name: "cut.ef", content: whole.subarray(0, -100) }], "cut.ef.*not an encoderfile.*not_encoderfile");
  await page.fill("#address", "nothing-here.ef");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /answered 404/.test(document.getElementById("problem").textContent));
  await page.locator("#problem button", { hasText: "Close" }).click();
  assert.equal(await page.locator("#problem").isVisible(), false);
  // A server that never answers.
  await page.route("**/slow.ef", () => undefined);
  await page.fill("#address", "slow.ef");
  await page.keyboard.press("Enter");
  await page.click("#loading-cancel");
  assert.equal(await page.locator("#loading").isVisible(), false);
  await page.fill("[name=query]", "hot water for houses");
  await firstIs(page, "About nine of ten houses");
  await page.context().close();
}

async function keyboard() {
  const page = await opened();
  const stops = [];
  for (let press = 0; press < 40; press++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const at = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(at);
      return { id: at.id || at.name || at.className || at.textContent, isSeen: outlineStyle !== "none" && outlineWidth !== "0px", isBody: at === document.body };
    });
    if (stop.isBody) break;
    assert.ok(stop.isSeen, `the focus shows on ${stop.id}`);
    stops.push(stop.id);
  }
  for (const id of ["skip", "query", "pin", "map-frame", "text", "add-files", "address", "choose-model"]) assert.ok(stops.includes(id), `${id} in ${stops}`);
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Control+a");
  await page.keyboard.type("a silent audience");
  await firstIs(page, "The violinist");
  await everyControlHasAName(page, "search");
  await page.context().close();
}

/** Where browsers have no `navigator.clipboard`, nor caches and service workers. */
async function plainHttp() {
  const page = await opened({ url: insecure(site.url) });
  assert.equal(await page.evaluate(() => navigator.clipboard), undefined);
  const button = page.getByRole("button", { name: "Copy Payload digest" });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.textContent === "Copied");
  await page.focus("#text");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Control+v");
  assert.equal(await page.inputValue("#text"), await defaultDigest());
  await page.context().close();
}

const OFFLINE = /ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_REFUSED|ERR_FAILED/;

async function offline() {
  const own = await serve(roots, { ranges: false });
  const page = await opened({ url: own.url, expected: OFFLINE });
  await page.waitForSelector("#saved:not([hidden])");
  const searches = async (query, words) => {
    await settled(page);
    await page.fill("[name=query]", query);
    await firstIs(page, words);
  };
  await page.context().setOffline(true);
  await page.reload();
  await searches("trains that are on time", "In 2017 a railway");
  await page.context().setOffline(false);
  await own.close();
  await page.goto(`${own.url}${FOLDER}index.html`);
  await searches("a flower worth as much as a house", "In the winter of 1637");
  assert.match(await page.locator("#timings").innerText(), /from this browser’s cache/);
  await page.context().close();
}

async function update() {
  let version = "";
  const source = await readFile(join(given.site, "sw.js"), "utf8");
  const answer = (request, response) => {
    if (!request.url.endsWith("/sw.js")) return false;
    response.setHeader("content-type", "text/javascript");
    response.end(source.replace('"version":"', `"version":"${version}`));
    return true;
  };
  const own = await serve(roots, { answer });
  const page = await opened({ url: own.url });
  await page.waitForSelector("#saved:not([hidden])");
  assert.equal(await page.locator("#update").isVisible(), false);
  version = "next-";
  await page.reload();
  await page.waitForSelector("#update:not([hidden])");
  await Promise.all([page.waitForEvent("load"), page.click("#update-now")]);
  await settled(page);
  const names = await page.evaluate(() => caches.keys());
  assert.equal(names.filter((name) => name.startsWith("encoderfile-demo")).length, 1);
  assert.ok(names.some((name) => name.includes("next-")) && names.includes("encoderfile"), names.join());
  await page.context().close();
  await own.close();
}

async function looks() {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1440, 360]) {
      const page = await open({ width, colorScheme });
      const look = async (what) => {
        const where = `${what} ${width} ${colorScheme}`;
        await noSidewaysScroll(page, where);
        await contrast(page, where);
        await everyControlHasAName(page, where);
        const path = given.shots && join(given.shots, `${what}-${width}-${colorScheme}.png`);
        if (path) await page.screenshot({ path, fullPage: true });
      };
      await look("loading");
      await settled(page);
      await look("search");
      for (const name of MODELS) {
        await choose(page, name);
        await look(name);
      }
      await drop(page, [{ name: "picture.png", content: Buffer.from([137, 80, 78, 71, 0, 0]) }]);
      await page.waitForSelector("#problem:not([hidden])");
      await look("problem");
      await page.context().close();
    }
  }
}

const checks = {
  "first load, with progress": firstLoad,
  "search, map, own text": searchInOneContext,
  "models of every kind": otherModels,
  "what fails is told, and the model stays": failures,
  "by keyboard": keyboard,
  "copies over plain http": plainHttp,
  "offline, from a server without ranges": offline,
  "a new version is offered": update,
  "wide and narrow, light and dark": looks,
};

try {
  for (const [name, check] of Object.entries(checks)) {
    await check();
    assert.deepEqual(problems, [], name);
    console.log(`ok ${name}`);
  }
} finally {
  await browser.close();
  await site.close();
}
