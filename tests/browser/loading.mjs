// Loads models in headless Chromium from good and bad servers, and asks bad things
// of them: each is a typed error, and what can go on goes on.
// Usage: node loading.mjs --package TARBALL --files DIR [--chromium PATH] [--only NAME]
//
// DIR has `model.encoderfile`, `model.ef.wasm` and `model.ef` of the default model,
// and `ner.ef` of one for entities.

import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { emptyPage, given, open, roots, run } from "./page.mjs";
import { serve } from "./static.mjs";

const TEXT = "A cat sits on the mat.";
const bundle = join(given.files, "model.ef");
const payload = (await stat(bundle)).size;

/** A site and a page of it, for as long as `use` takes. */
async function on(options, use) {
  const site = await serve(roots, { ...options, answer: emptyPage(options.answer) });
  const page = await open(site);
  try {
    return await use(page, site);
  } finally {
    await page.context().close();
    await site.close();
  }
}

/** Loads a file; gives where it came from, how far progress went, and a vector. */
function loaded(page, url, options = {}) {
  return page.evaluate(
    async ({ url, options, text }) => {
      const seen = [];
      const model = await load(url, { ...options, onProgress: (progress) => seen.push(progress) });
      const vector = Array.from(await model.embed(text));
      model.dispose();
      return { ...seen.at(-1), steps: seen.length, vector };
    },
    { url, options, text: TEXT },
  );
}

/** What loading a file fails with. */
const failureOf = (page, url, options = {}) =>
  page.evaluate(({ url, options }) => failure(load(url, options)), { url, options });

const cacheKeys = (page) =>
  page.evaluate(async () => (await (await caches.open("encoderfile")).keys()).map(({ url }) => url));

/** The default model with other bytes somewhere. */
async function changed(change) {
  const bytes = await readFile(bundle);
  return change(bytes) ?? bytes;
}

/** Serves bytes as `/changed.ef`, with ranges. */
const answering = (bytes) => (request, response) => {
  if (request.url !== "/changed.ef") return false;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const [start, end] = range ? [Number(range[1]), range[2] ? Number(range[2]) + 1 : bytes.length] : [0, bytes.length];
  response.writeHead(range ? 206 : 200, { "content-length": end - start });
  response.end(request.method === "HEAD" ? undefined : bytes.subarray(start, end));
  return true;
};

async function failsWith(code, change) {
  const bytes = await changed(change);
  await on({ answer: answering(bytes) }, async (page) => {
    for (const worker of [true, false]) {
      const failed = await failureOf(page, "/changed.ef", { worker });
      assert.equal(failed.code, code, failed.message);
      assert(failed.ours);
    }
    assert.deepEqual(await cacheKeys(page), []);
    // The page goes on.
    assert.equal((await loaded(page, "/files/model.ef")).vector.length, 384);
  });
}

/** A tile as `wasm/npm/src/tile.wat`, that leaves its sums as they are. */
const IDLE_TILE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 4, 127, 127, 127, 127, 0, 2, 15, 1, 3, 101, 110, 118, 6, 109, 101, 109, 111,
  114, 121, 2, 0, 1, 3, 2, 1, 0, 7, 8, 1, 4, 116, 105, 108, 101, 0, 0, 10, 4, 1, 2, 0, 11,
];

await run({
  async "products are computed in relaxed SIMD where there is any, and else without"() {
    const withTile = (tile) => (request, response) => {
      if (request.url !== "/package/dist/tile.js") return false;
      response.setHeader("content-type", "text/javascript");
      response.end(`export default new Uint8Array([${tile}]);`);
      return true;
    };
    const vectorOf = async (page) => (await loaded(page, "/files/model.ef")).vector;
    const relaxed = await on({}, async (page) => {
      const valid = await page.evaluate(async () => WebAssembly.validate((await import("/package/dist/tile.js")).default));
      assert(valid, "Chromium has relaxed SIMD since version 114");
      return vectorOf(page);
    });
    const apart = (vector) => Math.max(...vector.map((value, at) => Math.abs(value - relaxed[at])));
    const without = await on({ answer: withTile([]) }, vectorOf);
    assert(apart(without) < 1e-6, `${apart(without)} apart`);
    const idle = await on({ answer: withTile(IDLE_TILE) }, vectorOf);
    assert(!(apart(idle) < 1e-2), "the tile is not what computes products");
  },

  async "only the payload of an executable is fetched, and that once"() {
    await on({}, async (page, site) => {
      const first = await loaded(page, "/files/model.encoderfile");
      assert.deepEqual([first.from, first.loaded, first.total], ["network", payload, payload]);
      const sent = site.requests.filter(({ path }) => path === "/files/model.encoderfile");
      const bytes = sent.reduce((sum, request) => sum + request.bytes, 0);
      assert(bytes < payload + 1e6 && bytes >= payload, `${bytes} bytes sent for ${payload}`);
      const before = site.requests.length;
      const second = await loaded(page, "/files/model.encoderfile");
      assert.deepEqual([second.from, second.loaded, second.vector], ["cache", payload, first.vector]);
      const again = site.requests.slice(before).filter(({ path }) => path.startsWith("/files/"));
      assert.deepEqual(again.map(({ method }) => method), ["HEAD"]);
      // The same payload elsewhere is known by its digest.
      const other = await loaded(page, "/files/model.ef.wasm");
      assert.deepEqual([other.from, other.vector], ["cache", first.vector]);
      assert.equal((await cacheKeys(page)).filter((key) => key.includes("/blake3/")).length, 1);
    });
  },

  async "a server without ranges gives the whole file, which is kept all the same"() {
    await on({ ranges: false }, async (page) => {
      const first = await loaded(page, "/files/model.encoderfile");
      assert.equal(first.from, "network");
      const second = await loaded(page, "/files/model.encoderfile");
      assert.deepEqual([second.from, second.loaded, second.vector], ["cache", payload, first.vector]);
      assert.equal((await cacheKeys(page)).length, 2);
    });
  },

  async "what was loaded once is there without a server"() {
    const site = await serve(roots, { answer: emptyPage() });
    const page = await open(site);
    const first = await loaded(page, "/files/model.ef");
    await page.evaluate(() => load("/files/ner.ef").then((model) => model.dispose()));
    await site.close();
    // The worker's script is not in any cache: that is the business of the page.
    const second = await loaded(page, "/files/model.ef", { worker: false });
    assert.deepEqual([second.from, second.vector], ["cache", first.vector]);
    assert.equal((await failureOf(page, "/files/other.ef")).code, "network");
    await page.evaluate(() => Encoderfile.clearCache());
    assert.equal((await failureOf(page, "/files/model.ef")).code, "network");
    await page.context().close();
  },

  async "a file that was replaced is fetched again, and the old one forgotten"() {
    let bytes = await readFile(bundle);
    const answer = (request, response) => {
      response.setHeader("last-modified", new Date(bytes.length * 1000).toUTCString());
      return answering(bytes)(request, response);
    };
    await on({ answer }, async (page) => {
      assert.equal((await loaded(page, "/changed.ef")).from, "network");
      bytes = await readFile(join(given.files, "ner.ef"));
      const info = await page.evaluate(async () => {
        const model = await load("/changed.ef");
        return model.info;
      });
      assert.equal(info.task, "token_classification");
      const keys = await cacheKeys(page);
      assert.equal(keys.length, 2, keys.join());
      assert(keys.some((key) => key.endsWith(info.payload_digest)));
    });
  },

  async "bytes in any form"() {
    await on({}, async (page) => {
      const vectors = await page.evaluate(async (text) => {
        const bytes = async (name) => (await fetch(`/files/${name}`)).arrayBuffer();
        const padded = new Uint8Array([...new Uint8Array(7), ...new Uint8Array(await bytes("model.ef"))]);
        const sources = {
          address: "files/model.ef",
          url: new URL("/files/model.ef", location.href),
          response: await fetch("/files/model.encoderfile"),
          stream: (await fetch("/files/model.ef.wasm")).body,
          blob: new Blob([await bytes("model.encoderfile")]),
          file: new File([await bytes("model.ef.wasm")], "model.ef.wasm"),
          buffer: await bytes("model.ef"),
          view: padded.subarray(7),
        };
        const vectors = {};
        for (const [name, source] of Object.entries(sources)) {
          const model = await load(source, { cache: false });
          vectors[name] = Array.from(await model.embed(text));
          model.dispose();
        }
        return vectors;
      }, TEXT);
      for (const [name, vector] of Object.entries(vectors)) assert.deepEqual(vector, vectors.address, name);
    });
  },

  async "what is no source"() {
    await on({}, async (page) => {
      for (const source of [undefined, null, 7, {}, [1], "http://:80:80"]) {
        const failed = await failureOf(page, source);
        assert.equal(failed.code, "invalid_source", JSON.stringify(source));
      }
      const used = await page.evaluate(async () => {
        const response = await fetch("/files/ner.ef");
        await response.arrayBuffer();
        return failure(load(response));
      });
      assert.equal(used.code, "invalid_source");
    });
  },

  async "HTTP errors"() {
    const answer = (request, response) => {
      const status = /^\/status\/(\d+)$/.exec(request.url);
      if (!status) return false;
      response.writeHead(Number(status[1])).end();
      return true;
    };
    await on({ answer }, async (page) => {
      for (const status of [401, 404, 500, 503]) {
        const failed = await failureOf(page, `/status/${status}`);
        assert.deepEqual([failed.code, failed.status], ["http", status], failed.message);
        const response = await page.evaluate(async (url) => failure(load(await fetch(url))), `/status/${status}`);
        assert.deepEqual([response.code, response.status], ["http", status]);
      }
      assert.equal((await failureOf(page, "http://127.0.0.1:9/model.ef")).code, "network");
    });
  },

  async "a connection that ends early"() {
    const answer = (request, response) => {
      const isBody = request.method === "GET" && /^bytes=\d{3,}-\d{8}$/.test(request.headers.range ?? "");
      if (!request.url.startsWith("/files/model.ef") || !isBody) return false;
      response.writeHead(206, { "content-length": 1e7 });
      response.write(Buffer.alloc(1e5), () => response.destroy());
      return true;
    };
    await on({ answer }, async (page) => {
      const failed = await failureOf(page, "/files/model.ef");
      assert.equal(failed.code, "network", failed.message);
      assert.deepEqual(await cacheKeys(page), []);
    });
  },

  async "a file that was cut"() {
    await failsWith("not_encoderfile", (bytes) => bytes.subarray(0, bytes.length / 2));
    await failsWith("not_encoderfile", (bytes) => bytes.subarray(0, bytes.length - 1));
    await failsWith("not_encoderfile", () => Buffer.alloc(0));
    await failsWith("not_encoderfile", () => Buffer.from("no model at all, but a text that is long enough"));
  },

  async "a file that was changed"() {
    const flip = (place) => (bytes) => void (bytes[place(bytes)] ^= 1);
    await failsWith("corrupt", flip(() => 10));
    await failsWith("corrupt", flip((bytes) => bytes.length >> 1));
    await failsWith("corrupt", flip((bytes) => bytes.length - 40));
    await failsWith("corrupt", flip((bytes) => bytes.length - 8));
    await failsWith("unsupported_format", flip((bytes) => bytes.length - 24));
    await failsWith("corrupt", (bytes) => bytes.subarray(1));
  },

  async "a cache with something else in it is no cache"() {
    await on({}, async (page) => {
      const first = await loaded(page, "/files/model.ef");
      const key = (await cacheKeys(page)).find((key) => key.includes("/blake3/"));
      await page.evaluate(async (key) => {
        const cache = await caches.open("encoderfile");
        const bytes = new Uint8Array(await (await cache.match(key)).arrayBuffer());
        bytes[bytes.length >> 1] ^= 1;
        await cache.put(key, new Response(bytes));
      }, key);
      const second = await loaded(page, "/files/model.ef");
      assert.deepEqual([second.from, second.vector], ["network", first.vector]);
      assert.equal((await loaded(page, "/files/model.ef")).from, "cache");
    });
  },

  async "loading can be aborted at any time"() {
    await on({}, async (page) => {
      const codes = await page.evaluate(async () => {
        const at = async (when, worker) => {
          const controller = new AbortController();
          if (when === "before") controller.abort();
          const onProgress = ({ loaded, total }) => {
            if (when === "first chunk" || (when === "last chunk" && loaded === total)) controller.abort();
          };
          return failure(load("/files/model.ef", { signal: controller.signal, onProgress, cache: false, worker }));
        };
        const all = [];
        for (const when of ["before", "first chunk", "last chunk"]) {
          for (const worker of [true, false]) all.push([when, await at(when, worker)]);
        }
        return all;
      });
      for (const [when, failed] of codes) assert.deepEqual([failed.code, failed.name], ["aborted", "AbortError"], when);
      assert.deepEqual(await cacheKeys(page), []);
    });
  },

  async "requests can be aborted, and the others go on"() {
    await on({}, async (page) => {
      const found = await page.evaluate(async (text) => {
        const model = await load("/files/model.ef");
        const alone = await model.embed(text);
        const controller = new AbortController();
        const many = failure(model.embed(Array.from({ length: 500 }, (_, n) => `${text} ${n}`), { signal: controller.signal }));
        const other = model.embed(text);
        controller.abort(new Error("enough"));
        const [failed, vector] = [await many, await other];
        const before = await failure(model.embed(text, { signal: controller.signal }));
        model.dispose();
        return { failed, before, same: vector.every((value, index) => value === alone[index]) };
      }, TEXT);
      assert.deepEqual([found.failed.code, found.before.code, found.same], ["aborted", "aborted", true]);
    });
  },

  async "a disposed model"() {
    await on({}, async (page) => {
      for (const worker of [true, false]) {
        const codes = await page.evaluate(async (worker) => {
          const model = await load("/files/model.ef", { worker });
          const waiting = ["a", "b", "c"].map((text) => failure(model.embed(text)));
          model.dispose();
          model.dispose();
          return [...(await Promise.all(waiting)), await failure(model.infer({ inputs: ["d"] })), await failure(model.memory())];
        }, worker);
        assert.deepEqual(new Set(codes.map(({ code }) => code)), new Set(["disposed"]), `worker: ${worker}`);
      }
    });
  },

  async "texts that are none, and options that do not exist"() {
    await on({}, async (page) => {
      for (const worker of [true, false]) {
        const found = await page.evaluate(async (worker) => {
          const model = await load("/files/model.ef", { worker });
          const ner = await load("/files/ner.ef", { worker });
          const failures = {
            number: await failure(model.embed(7)),
            nothing: await failure(model.embed()),
            among: await failure(model.embed(["a", null])),
            object: await failure(ner.entities({ text: "a" })),
            inputs: await failure(model.infer({ inputs: "a" })),
            empty: await failure(model.infer({ inputs: [{ text: "a", pair: "b" }] })),
            long: await failure(model.embed("a ".repeat(400), { long: "error" })),
            longAmong: await failure(model.embed(["a", "b", "c ".repeat(400), "d"], { long: "error" })),
            option: await failure(model.embed("a", { colour: "red" })),
            value: await failure(model.embed("a", { dimensions: 0 })),
            kind: await failure(model.embed("a", { dimensions: "many" })),
            alien: await failure(model.infer({ inputs: [], aggregation: "simple" })),
            entities: await failure(model.entities("a")),
            classify: await failure(ner.classify("a")),
            vector: await failure(ner.embed("a")),
          };
          const partial = await model.infer({ inputs: ["a", "b ".repeat(400)], partial: true, long: "error" });
          const after = await model.embed("a");
          model.dispose();
          ner.dispose();
          return { failures, partial: partial.results.map(Object.keys), after: after.length };
        }, worker);
        const codes = Object.fromEntries(Object.entries(found.failures).map(([name, { code }]) => [name, code]));
        assert.deepEqual(codes, {
          number: "invalid_input",
          nothing: "invalid_input",
          among: "invalid_input",
          object: "invalid_input",
          inputs: "invalid_input",
          empty: "invalid_input",
          long: "invalid_input",
          longAmong: "invalid_input",
          option: "invalid_option",
          value: "invalid_option",
          kind: "invalid_option",
          alien: "invalid_option",
          entities: "wrong_task",
          classify: "wrong_task",
          vector: "wrong_task",
        });
        assert.match(found.failures.among.message, /texts\[1\].*null/);
        assert.match(found.failures.longAmong.message, /texts\[2\]/);
        assert.deepEqual([found.partial, found.after], [[["embedding"], ["error"]], 384]);
      }
    });
  },

  async "several workers, and texts one by one, give the same, in the same order"() {
    await on({}, async (page) => {
      const same = await page.evaluate(async () => {
        const texts = Array.from({ length: 40 }, (_, n) => "word ".repeat((n * 7) % 50) + n);
        const [one, two] = [await load("/files/model.ef"), await load("/files/model.ef", { workers: 2 })];
        const [a, b] = [await one.embed(texts), await two.embed(texts)];
        const c = [];
        for (const text of texts) c.push(await one.embed(text));
        const none = await failure(load("/files/model.ef", { workers: 0 }));
        one.dispose();
        two.dispose();
        const isSame = (vector, n) => vector.every((value, at) => value === b[n][at] && value === c[n][at]);
        return [a.every(isSame), none.code];
      });
      assert.deepEqual(same, [true, "invalid_option"]);
    });
  },

  async "offsets are those of JavaScript"() {
    await on({}, async (page) => {
      const text = "😀 Zoë flew to 東京 😀 and 𝒳 with Ann";
      const spans = await page.evaluate(async (text) => {
        const model = await load("/files/ner.ef");
        const entities = await model.entities(text, { ignoreLabels: [] });
        const { results } = await model.infer({ inputs: [text], aggregation: "simple", ignore_labels: [] });
        const tokens = (await model.tokenize(text)).tokens.filter(({ special }) => !special);
        model.dispose();
        return { entities, raw: results[0].entities, tokens };
      }, text);
      const points = [...text];
      assert(spans.entities.length > 0);
      for (const [index, { start, end }] of spans.entities.entries()) {
        const raw = spans.raw[index];
        assert.equal(text.slice(start, end), points.slice(raw.start, raw.end).join(""));
      }
      assert.equal(spans.tokens.at(-1).end, text.length);
    });
  },

  async "out of memory while loading and while computing"() {
    const module = join(roots["/package/"], "dist/encoderfile.wasm");
    const wasm = await readFile(module);
    const answer = (request, response) => {
      const pages = /^\/limited\/(\d+)\.wasm$/.exec(request.url);
      if (!pages) return false;
      response.setHeader("content-type", "application/wasm");
      response.end(withMemoryLimit(wasm, Number(pages[1])));
      return true;
    };
    await on({ answer }, async (page) => {
      for (const worker of [true, false]) {
        const found = await page.evaluate(async (worker) => {
          const limited = (file, pages) => load(file, { wasm: `/limited/${pages}.wasm`, worker });
          const loading = await failure(limited("/files/model.ef", 100));
          const [ner, free] = [await limited("/files/ner.ef", 300), await load("/files/ner.ef", { worker })];
          // Tokenising takes many times the text.
          const text = "word ".repeat(2e6);
          const long = await failure(ner.entities(text));
          const results = async (model) => JSON.stringify(await model.infer({ inputs: ["A short text."] }));
          return { loading, long, same: (await results(ner)) === (await results(free)) };
        }, worker);
        assert.equal(found.loading.code, "out_of_memory", found.loading.message);
        assert.equal(found.long.code, "out_of_memory", found.long.message);
        assert(found.same, `worker: ${worker}`);
      }
    });
  },
});

/** The module with a limit to its memory. */
function withMemoryLimit(wasm, pages) {
  const leb = (value) => {
    const bytes = [];
    do {
      bytes.push((value & 127) | (value > 127 ? 128 : 0));
      value >>>= 7;
    } while (value > 0);
    return bytes;
  };
  const read = (at) => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = wasm[at++];
      value += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte < 128) return [value, at];
    }
  };
  for (let at = 8; at < wasm.length; ) {
    const id = wasm[at];
    const [length, begin] = read(at + 1);
    if (id === 5) {
      const [least] = read(begin + 2);
      const section = [1, 1, ...leb(least), ...leb(pages)];
      return Buffer.concat([wasm.subarray(0, at), Buffer.from([5, ...leb(section.length), ...section]), wasm.subarray(begin + length)]);
    }
    at = begin + length;
  }
  throw new Error("no memory section");
}
