// Drives the page of a running server in headless Chromium and checks it.
// Usage: node server-page.mjs --http URL [--api-key KEY] [--chromium PATH] [--shots DIR]
//
// Of any server: every tool answers, nothing is logged as an error, nothing breaks
// the Content-Security-Policy, nothing scrolls sideways. What a server seldom says
// (429, a slow answer, a cut text) is put in its mouth by routes. `ok NAME` for
// each check; the first that fails ends the script with status 1.

import assert from "node:assert/strict";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { insecure, launch } from "./chromium.mjs";
import { contrast, everyControlHasAName, noSidewaysScroll } from "./looks.mjs";

const { values: given } = parseArgs({
  options: {
    http: { type: "string" },
    "api-key": { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    shots: { type: "string" },
  },
});
const baseUrl = given.http;
const key = given["api-key"];
const browser = await launch(given.chromium);
// What the page logs or asks for and should not.
const problems = [];
// Without the key the first answer is 401, which browsers log.
const unauthorized = key ? /401/ : undefined;

/** The page in a window of its own; what it logs must match `expected`. */
async function open({ width = 1280, colorScheme = "light", expected = /^$/, url = baseUrl, prepare } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme,
    reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  const complain = (text) => expected.test(text) || problems.push(`${width} ${colorScheme}: ${text}`);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(message.text()));
  page.on("pageerror", (error) => complain(`uncaught ${error}`));
  page.on("request", (request) => {
    const isOwn = request.url().startsWith(url) || /^(data|blob):/.test(request.url());
    if (!isOwn) complain(`asks elsewhere: ${request.url()}`);
  });
  await prepare?.(page);
  const answer = await page.goto(url);
  assert.match(answer.headers()["content-security-policy"] ?? "", /default-src 'self'/, "the page has a policy");
  if (key) await enterKey(page);
  await page.waitForSelector("#content:not([hidden])");
  return page;
}

async function enterKey(page) {
  await page.waitForSelector("#key-dialog[open]");
  await page.fill("#key", "wrong");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#key-problem:not([hidden])");
  await page.fill("#key", key);
  await page.keyboard.press("Enter");
}

const panels = (page) => page.$$eval(".tool", (all) => all.map((panel) => panel.id));

async function choose(page, id) {
  const tab = page.locator(`[role=tab][aria-controls="${id}"]`);
  if (await tab.count()) await tab.click();
}

async function finished(page, id) {
  await page.waitForFunction((id) => {
    const panel = document.getElementById(id);
    return !panel.hasAttribute("aria-busy") && panel.querySelector(".results").childElementCount > 0;
  }, id);
  return page.locator(`#${id}`);
}

/** Asks the tool for what its fields say. */
async function run(page, id) {
  await page.locator(`#${id} .primary`).click();
  const panel = await finished(page, id);
  const problems = await panel.locator(".problem").allInnerTexts();
  assert.deepEqual(problems, [], id);
  assert.match(await panel.locator(".status").innerText(), /in all/);
  return panel;
}

async function everyFieldHasALabel(page) {
  const bare = await page.$$eval("main input, main select, main textarea", (fields) =>
    fields.filter((field) => !field.labels.length).map((field) => field.name),
  );
  assert.deepEqual(bare, []);
  const unnamed = await page.$$eval(
    "button",
    (all) => all.filter((button) => !(button.getAttribute("aria-label") || button.textContent.trim())).length,
  );
  assert.equal(unnamed, 0);
}

/** What a tool's results must be, by its panel. */
const results = {
  async "panel-embed"(page, panel) {
    const texts = ["one", "two <b>&</b>", "three 😀"];
    await panel.locator("[name=texts]").fill(texts.join("\n"));
    await page.keyboard.press("Control+Enter");
    await page.waitForFunction(() => document.querySelectorAll("#panel-embed td.heat").length === 9);
    const cells = await panel.locator("td.heat").allInnerTexts();
    const rows = [0, 1, 2].map((row) => cells.slice(row * 3, row * 3 + 3).map(Number));
    const columns = [0, 1, 2].map((column) => rows.map((row) => row[column]));
    assert.deepEqual(rows, columns, "the matrix is symmetric");
    assert.match(await panel.locator("tbody th").nth(1).getAttribute("title"), /^two <b>&<\/b>$/);
    await panel.locator(".vectors .copy").first().click();
    const vector = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
    assert.ok(vector.length > 1 && vector.every(Number.isFinite));
    await panel.locator("[name=dimensions]").fill("8");
    await run(page, "panel-embed");
    await panel.locator(".vectors .copy").first().click();
    assert.equal(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())).length, 8);
  },
  async "panel-entities"(page, panel) {
    const text = "🎉 Zoë 👩‍👩‍👧 met Tim Cook at 北京大学 in London, 東京 <b>too</b>.";
    await panel.locator("[name=text]").fill(text);
    await run(page, "panel-entities");
    const shown = await panel.locator(".marked").evaluate((node) => {
      const copy = node.cloneNode(true);
      copy.querySelectorAll(".kind-name").forEach((label) => label.remove());
      return copy.textContent;
    });
    assert.equal(shown, text, "highlighting changes no letter");
    const spans = await panel
      .locator(".table tbody tr")
      .evaluateAll((rows) =>
        rows.map((row) => [row.cells[0].textContent, ...row.cells[3].textContent.split("–").map(Number)]),
      );
    for (const [span, start, end] of spans) assert.equal(Array.from(text).slice(start, end).join(""), span);
    for (const way of ["first", "average", "max", "none"]) {
      await panel.locator("[name=aggregation]").selectOption(way);
      await run(page, "panel-entities");
    }
  },
  async "panel-zero_shot"(page, panel) {
    await panel.locator("[name=multi_label]").check();
    await panel.locator("[name=template]").fill("It is about {}.");
    await run(page, "panel-zero_shot");
    await bestFirst(panel, 4);
  },
  async "panel-rerank"(page, panel) {
    await bestFirst(panel, 4);
  },
  async "panel-classify"(page, panel) {
    await panel.locator("[name=text_pair]").fill("A second text.");
    await run(page, "panel-classify");
  },
  async "panel-fill_mask"(page, panel) {
    assert.equal(await panel.locator(".bars li").count(), 5);
    await panel.locator("[name=top_k]").fill("0");
    await panel.locator(".primary").click();
    assert.match(await panel.locator(".problem").innerText(), /whole number/);
    await panel.locator("[name=top_k]").fill("3");
    await run(page, "panel-fill_mask");
    assert.equal(await panel.locator(".bars li").count(), 3);
  },
  async "panel-token_embeddings"(page, panel) {
    const plain = await panel.locator(".token").count();
    await panel.locator(".token").nth(1).click();
    assert.ok(JSON.parse(await panel.locator(".vector").innerText()).length > 1);
    const role = panel.locator("[name=role]");
    // A query has expansion tokens, or a marker of its own.
    if (await role.isVisible()) await role.selectOption("query");
    else await panel.locator("[name=special_tokens]").check();
    await run(page, "panel-token_embeddings");
    assert.ok((await panel.locator(".token").count()) > plain);
  },
};

/** One for each thing the model can do; the tool for embeddings also compares them. */
async function expectedPanels() {
  const answer = await fetch(`${baseUrl}/info`, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
  const { capabilities } = (await answer.json()).encoderfile;
  const tools = capabilities.filter((it) => it !== "similarity");
  return tools.map((it) => `panel-${it}`).sort();
}

async function bestFirst(panel, count) {
  const scores = (await panel.locator(".number").allInnerTexts()).map(Number);
  assert.equal(scores.length, count);
  const sorted = scores.toSorted((a, b) => b - a);
  assert.deepEqual(scores, sorted, "best first");
}

async function tasks() {
  const page = await open({ expected: unauthorized });
  assert.deepEqual((await panels(page)).sort(), await expectedPanels());
  for (const id of await panels(page)) {
    await choose(page, id);
    const panel = await run(page, id);
    await results[id]?.(page, panel);
    await emptyInput(page, panel);
  }
  await everyFieldHasALabel(page);
  await snippets(page);
  await page.context().close();
}

async function emptyInput(page, panel) {
  await panel.locator("textarea").first().fill("  \n ");
  await panel.locator(".primary").click();
  assert.match(await panel.locator(".problem").innerText(), /^Write /);
  assert.equal(await panel.locator("[aria-invalid]").count(), 1);
}

async function snippets(page) {
  const tabs = page.locator("#snippet-tabs [role=tab]");
  assert.ok((await tabs.count()) >= 4);
  for (const tab of await tabs.all()) {
    await tab.click();
    const code = await page.locator("#snippet-code").innerText();
    const isLocal = (await tab.innerText()) === "Command line" || (await tab.innerText()) === "gRPC";
    if (!isLocal) assert.ok(code.includes(new URL(baseUrl).origin), "a snippet has the page's own origin");
    await page.locator("#copy-snippet").click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), code);
    if (key) assert.ok(!code.includes(key), "a snippet never holds the key");
  }
}

async function keyboard() {
  const page = await open({ expected: unauthorized });
  for (const list of ["#tool-tabs", "#snippet-tabs"]) {
    const tabs = page.locator(`${list} [role=tab]`);
    if ((await tabs.count()) < 2) continue;
    await tabs.first().focus();
    await page.keyboard.press("ArrowRight");
    assert.equal(await tabs.nth(1).getAttribute("aria-selected"), "true");
    assert.ok(await tabs.nth(1).evaluate((tab) => tab === document.activeElement));
    await page.keyboard.press("End");
    assert.equal(await tabs.last().getAttribute("aria-selected"), "true");
    await page.keyboard.press("ArrowRight");
    assert.equal(await tabs.first().getAttribute("aria-selected"), "true");
    assert.equal(await page.locator(`${list} [tabindex="0"]`).count(), 1);
  }
  await page.context().close();
}

async function refusals() {
  const page = await open({ expected: /401|429|503|ERR_FAILED|Failed to load/ });
  const [id] = await panels(page);
  const panel = page.locator(`#${id}`);
  const fails = async (route, words) => {
    await page.route("**/predict", route);
    await panel.locator(".primary").click();
    await page.waitForFunction(
      ([id, words]) => new RegExp(words).test(document.querySelector(`#${id} .problem`)?.textContent),
      [id, words.source],
    );
    await page.unroute("**/predict");
  };
  const overloaded = { status: 429, headers: { "Retry-After": "2" }, json: { error: "overloaded", error_type: "X" } };
  await fails((route) => route.fulfill(overloaded), /busy. Try again in 2 seconds/);
  const stopping = { status: 503, json: { error: "shutting down", error_type: "X" } };
  await fails((route) => route.fulfill(stopping), /shutting down/);
  await fails((route) => route.abort(), /No answer from the server/);
  await page.context().close();
}

async function cutText() {
  const page = await open({ expected: unauthorized });
  const [id] = await panels(page);
  const usage = { tokens_total: 612, tokens_used: 256 };
  await page.route("**/predict", async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    body.results = body.results.map((result) => ({ ...result, ...usage }));
    await route.fulfill({ response, json: body });
  });
  await run(page, id);
  const notice = page.locator(`#${id} .notice`);
  assert.match(await notice.innerText(), /the model read 256 of its 612 tokens/);
  await page.context().close();
}

/** Where browsers have no `navigator.clipboard`, and the page is often opened so. */
async function plainHttp() {
  const page = await open({ expected: unauthorized, url: insecure(baseUrl) });
  assert.equal(await page.evaluate(() => navigator.clipboard), undefined);
  const digest = await page.locator(".hash code").first().getAttribute("title");
  const button = page.locator(".hash .copy").first();
  await button.click();
  await page.waitForFunction(() => document.querySelector(".hash .copy").textContent === "Copied");
  assert.ok(await button.evaluate((button) => button === document.activeElement), "the focus stays");
  const field = page.locator("#tools textarea").first();
  await field.fill("");
  await page.keyboard.press("Control+v");
  assert.equal(await field.inputValue(), digest);
  await page.context().close();
}

/** As a reverse proxy shows it that takes the prefix away. */
async function prefixed() {
  const prefix = `${baseUrl}/models/small/`;
  const page = await open({
    expected: unauthorized,
    url: prefix,
    prepare: (page) =>
      page.route(`${prefix}**`, async (route) => {
        const path = route.request().url().slice(prefix.length);
        await route.fulfill({ response: await route.fetch({ url: `${baseUrl}/${path}` }) });
      }),
  });
  const [id] = await panels(page);
  await run(page, id);
  assert.ok((await page.locator("#snippet-code").innerText()).includes(`${prefix}predict`));
  await page.context().close();
}

/** The second click takes the first request's place. */
async function impatience() {
  const page = await open({ expected: unauthorized });
  const [id] = await panels(page);
  const aborted = page.waitForEvent("requestfailed");
  // The first is never answered, and is under way before the second click.
  let asked = 0;
  let hold;
  const held = new Promise((resolve) => (hold = resolve));
  await page.route("**/predict", (route) => (asked++ === 0 ? hold() : route.continue()));
  await page.locator(`#${id} .primary`).click();
  await held;
  await page.waitForFunction((id) => /Running/.test(document.querySelector(`#${id} .status`).textContent), id);
  await run(page, id);
  assert.match((await aborted).failure().errorText, /ABORTED/);
  await page.context().close();
}

async function unready() {
  const page = await open({ expected: /401|503/ });
  await page.route("**/info", (route) =>
    route.fulfill({ status: 503, json: { error: "loading", error_type: "Unhealthy" } }),
  );
  await page.reload();
  await page.waitForSelector("#page-problem:not([hidden])");
  assert.match(await page.locator("#page-problem").innerText(), /not ready/);
  await page.unroute("**/info");
  await page.locator("#page-problem button").click();
  await page.waitForSelector("#content:not([hidden])");
  await page.context().close();
}

async function looks() {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 375]) {
      const page = await open({ width, colorScheme, expected: unauthorized });
      await noSidewaysScroll(page, `${width} ${colorScheme} before`);
      for (const id of await panels(page)) {
        await choose(page, id);
        const panel = await run(page, id);
        if (id === "panel-token_embeddings") await panel.locator(".token").nth(3).click();
        await noSidewaysScroll(page, `${width} ${colorScheme} ${id}`);
        await contrast(page, `${width} ${colorScheme} ${id}`);
        await everyControlHasAName(page, `${width} ${colorScheme} ${id}`);
        const shot = `${id.slice(6)}-${width}-${colorScheme}.png`;
        if (given.shots) await page.screenshot({ path: join(given.shots, shot), fullPage: true });
      }
      await page.context().close();
    }
  }
}

const checks = {
  "every tool answers": tasks,
  "tabs by keyboard": keyboard,
  "refusals are told": refusals,
  "a cut text is told": cutText,
  "copies over plain http": plainHttp,
  "behind a prefix": prefixed,
  "a second click aborts the first request": impatience,
  "a server that is not ready": unready,
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
}
