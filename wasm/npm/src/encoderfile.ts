/**
 * The model, as people use it.
 *
 * @module
 */

import { LocalEngine, WorkerEngine, type Engine } from "./engine.js";
import { Group, unlessAborted } from "./abort.js";
import { EncoderfileError } from "./error.js";
import { PayloadCache } from "./cache.js";
import { hasFiles } from "./files.js";
import { chunks, open, type Incoming, type Source } from "./incoming.js";
import { checkEnvironment, type Call, type Result } from "./instance.js";
import { toUtf16, tokensToUtf16 } from "./offsets.js";
import { Pool } from "./pool.js";
import type {
  FillMaskOptions,
  Filling,
  ClassScore,
  ClassifyOptions,
  EmbedOptions,
  Entity,
  EntityOptions,
  InferRequest,
  InferResponse,
  Info,
  LoadOptions,
  Pair,
  Ranked,
  RerankOptions,
  SelfTest,
  Tokenized,
} from "./types.js";
import { compile } from "./wasm.js";

/**
 * An encoder model, loaded.
 *
 * ```js
 * const model = await Encoderfile.load("minilm.encoderfile");
 * const [a, b] = await model.embed(["A cat", "A kitten"]);
 * model.dispose();
 * ```
 *
 * Everything it throws is an {@link EncoderfileError}.
 */
export class Encoderfile {
  /** What the file says of itself. */
  readonly info: Info;
  #pool: Pool;

  private constructor(pool: Pool, info: Info) {
    this.#pool = pool;
    this.info = info;
  }

  /**
   * Loads an encoderfile: a native executable, a `.ef.wasm` or a bundle. Of an
   * address, only the payload is fetched, and that once: it is kept in the Cache
   * API under its hash. Every byte is checked against the hashes in the file.
   *
   * @param source an address, or the bytes in any form
   * @throws `network`, `http`, `aborted`, `invalid_source`, `not_encoderfile`,
   * `unsupported_format`, `corrupt`, `unsupported_model`,
   * `unsupported_environment`, `out_of_memory`, `worker`
   */
  static async load(source: Source, options: LoadOptions = {}): Promise<Encoderfile> {
    const { signal, headers, cache = true } = options;
    const engines: Engine[] = [];
    try {
      // The bytes are asked for while the program is compiled.
      const opening = open(source, { cache, headers, signal });
      opening.catch(() => undefined);
      engines.push(...(await startBeside(opening, options)));
      let loaded = await pump(engines, await opening, options);
      if (loaded === undefined) {
        for (const engine of engines.splice(0)) engine.end();
        engines.push(...(await start(options)));
        loaded = await pump(engines, await open(source, { cache, headers, signal }), options);
      }
      return new Encoderfile(new Pool(engines), JSON.parse(loaded!) as Info);
    } catch (error) {
      for (const engine of engines) engine.end();
      throw error;
    }
  }

  /** Removes every model that {@link Encoderfile.load} has kept in this origin's cache. */
  static async clearCache(): Promise<void> {
    await PayloadCache.clear();
  }

  /**
   * The embedding of a text, or of each text: `[dimensions]`.
   *
   * @throws `invalid_input`, `invalid_option`, `wrong_task`, `aborted`,
   * `disposed`, `out_of_memory`
   */
  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
  async embed(
    texts: string | readonly string[],
    options: EmbedOptions = {},
  ): Promise<Float32Array | Float32Array[]> {
    const json = optionsJson(options);
    return this.#each(texts, "texts", options, (text) => ({ method: "embed", text: textOf(text), options: json }));
  }

  /**
   * The entities in a text, or in each text, in its order.
   *
   * @throws as {@link Encoderfile.embed}
   */
  entities(text: string, options?: EntityOptions): Promise<Entity[]>;
  entities(texts: readonly string[], options?: EntityOptions): Promise<Entity[][]>;
  async entities(texts: string | readonly string[], options: EntityOptions = {}): Promise<Entity[] | Entity[][]> {
    this.#require("token_classification", "entities");
    const json = optionsJson({ aggregation: "simple", ...withoutAbsent(options) });
    return this.#each(texts, "texts", options, (text) => inferCall(textOf(text), json), (result, text) => {
      const { entities } = JSON.parse(result as string) as { entities: Entity[] };
      return toUtf16(text as string, entities);
    });
  }

  /**
   * The labels of a text or pair, or of each, best first.
   *
   * @throws as {@link Encoderfile.embed}
   */
  classify(text: string | Pair, options?: ClassifyOptions): Promise<ClassScore[]>;
  classify(texts: readonly (string | Pair)[], options?: ClassifyOptions): Promise<ClassScore[][]>;
  async classify(
    texts: string | Pair | readonly (string | Pair)[],
    options: ClassifyOptions = {},
  ): Promise<ClassScore[] | ClassScore[][]> {
    this.#require("sequence_classification", "classify");
    const json = optionsJson(options);
    return this.#each(texts, "texts", options, (text) => inferCall(itemOf(text), json), (result) => {
      const parsed = JSON.parse(result as string) as { labels?: string[]; scores: number[] };
      const labels = parsed.labels ?? this.info.labels!;
      const scores = parsed.scores.map((score, index) => ({ label: labels[index]!, score }));
      return scores.sort((a, b) => b.score - a.score);
    });
  }

  /**
   * How well each text answers a query, best first. Needs a model with one logit, one of
   * late interaction (ColBERT), which scores by MaxSim, or one with several kinds of vectors
   * (BGE-M3), which scores by all of them.
   *
   * @throws as {@link Encoderfile.embed}
   */
  async rerank(query: string, texts: readonly string[], options: RerankOptions = {}): Promise<Ranked[]> {
    const { signal, ...others } = options;
    const request = { inputs: texts.map((text) => textOf(text)), query: textOf(query), ...snakeCase(others) };
    return (await this.infer(request, signal && { signal })).results as Ranked[];
  }

  /**
   * The likeliest candidate tokens for each mask token of a text, in its order.
   *
   * @throws as {@link Encoderfile.embed}
   */
  fillMask(text: string, options?: FillMaskOptions): Promise<Filling[][]>;
  fillMask(texts: readonly string[], options?: FillMaskOptions): Promise<Filling[][][]>;
  async fillMask(
    texts: string | readonly string[],
    options: FillMaskOptions = {},
  ): Promise<Filling[][] | Filling[][][]> {
    this.#require("fill_mask", "fillMask");
    const json = optionsJson(options);
    return this.#each(texts, "texts", options, (text) => inferCall(textOf(text), json), (result) => {
      return (JSON.parse(result as string) as { masks: Filling[][] }).masks;
    });
  }

  /**
   * The tokens of a text or pair, as the model sees it.
   *
   * @throws as {@link Encoderfile.embed}
   */
  async tokenize(text: string | Pair, options: EmbedOptions = {}): Promise<Tokenized> {
    const call: Call = { method: "tokenize", item: JSON.stringify(itemOf(text)), options: optionsJson(options) };
    const tokenized = JSON.parse((await this.#run(call, options.signal)) as string) as Tokenized;
    return { ...tokenized, tokens: tokensToUtf16(text, tokenized.tokens) };
  }

  /**
   * Whatever the model computes: the JSON of the command line and the server.
   * Offsets are in code points there.
   *
   * @throws as {@link Encoderfile.embed}
   */
  async infer(request: InferRequest, { signal }: { signal?: AbortSignal } = {}): Promise<InferResponse> {
    const { inputs, metadata, partial = false, ...options } = withoutAbsent(request ?? {}) as InferRequest;
    if (!Array.isArray(inputs)) throw new EncoderfileError("invalid_input", "`inputs` is not a list of texts or pairs");
    const json = JSON.stringify(options);
    await this.#run({ method: "check", options: json }, signal);
    const one = (item: string | Pair) => inferCall(itemOf(item), json);
    const read = (result: Result) => JSON.parse(result as string) as Record<string, any>;
    const isRanked = typeof options.query === "string";
    const recover = partial && !isRanked ? (error: EncoderfileError) => ({ error: error.message }) : undefined;
    const results = await this.#each(inputs, "inputs", { signal }, one, read, recover);
    return {
      results: isRanked ? ranked(results, options.top_k) : results,
      model_id: this.info.name,
      ...(metadata === undefined ? {} : { metadata }),
    };
  }

  /**
   * Recomputes the results that were stored in the file when it was built, to
   * show that the numbers are the same here.
   */
  async selfTest(): Promise<SelfTest> {
    return JSON.parse((await this.#run({ method: "selfTest" })) as string) as SelfTest;
  }

  /** The bytes of memory that the model takes, in all its workers. */
  async memory(): Promise<number> {
    const used = this.#pool.engines.map((engine) => engine.call([{ method: "memory" }]));
    return (await Promise.all(used)).flat().reduce<number>((sum, bytes) => sum + (bytes as number), 0);
  }

  /** Frees the memory: the workers end, and whatever was waiting is rejected. */
  dispose(): void {
    this.#pool.dispose();
  }

  #require(task: Info["task"], method: string): void {
    if (this.info.task === task) return;
    const message = `\`${method}\` needs a model for ${task}; this one is for ${this.info.task}`;
    throw new EncoderfileError("wrong_task", message);
  }

  async #run(call: Call, signal?: AbortSignal): Promise<Result> {
    const group = new Group(signal);
    try {
      return await this.#pool.run(call, group);
    } finally {
      group.end();
    }
  }

  /** The result of one, or of each of several; says which it was that failed. */
  async #each<I, O = any>(
    items: I | readonly I[],
    name: string,
    options: { signal?: AbortSignal | undefined },
    call: (item: I) => Call,
    read: (result: Result, item: I) => O = (result) => result as O,
    recover?: (error: EncoderfileError) => O,
  ): Promise<any> {
    if (!Array.isArray(items)) return read(await this.#run(call(items as I), options.signal), items as I);
    const calls = items.map((item, index) => {
      try {
        return call(item);
      } catch (error) {
        throw inPlace(error as EncoderfileError, `${name}[${index}]`);
      }
    });
    const group = new Group(options.signal);
    const results = calls.map(async (one, index) => {
      try {
        return read(await this.#pool.run(one, group), items[index]!);
      } catch (error) {
        if (recover && error instanceof EncoderfileError && isOfText(error)) return recover(error);
        throw inPlace(error as EncoderfileError, `${name}[${index}]`);
      }
    });
    try {
      return await Promise.all(results);
    } finally {
      // Where one failed, the others are not wanted any more.
      group.end();
    }
  }
}

/** The same as {@link start}; where that fails, nobody wants what is being opened. */
async function startBeside(opening: Promise<Incoming>, options: LoadOptions): Promise<Engine[]> {
  try {
    return await start(options);
  } catch (error) {
    const discard = async ({ stream, onFailed }: Incoming) => Promise.all([stream.cancel(), onFailed?.()]);
    opening.then(discard).catch(() => undefined);
    throw error;
  }
}

/** As many engines as were asked for, running. */
async function start(options: LoadOptions): Promise<Engine[]> {
  checkEnvironment();
  // A program with files is one that ends by itself; a worker would keep it from that.
  const { workers = 1, worker = typeof Worker !== "undefined" && !hasFiles() } = options;
  if (!Number.isInteger(workers) || workers < 1) {
    throw new EncoderfileError("invalid_option", `\`workers\` is ${workers}, not a number of workers`);
  }
  const module = await compile(options.wasm);
  if (!worker) return [await LocalEngine.start(module)];
  const started = await Promise.allSettled(Array.from({ length: workers }, () => WorkerEngine.start(module)));
  const engines = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failed = started.find((result) => result.status === "rejected");
  if (failed === undefined) return engines;
  for (const engine of engines) engine.end();
  throw failed.reason;
}

/** Bytes that engines have not taken yet, at most. */
const AHEAD_MAX = 8 << 20;

/**
 * Gives every engine all bytes and has it load the model; returns what that says
 * of itself. `undefined` where what was kept in the cache is no longer what it was.
 */
async function pump(engines: Engine[], incoming: Incoming, options: LoadOptions): Promise<string | undefined> {
  let loaded = 0;
  let ahead: Promise<unknown> = Promise.resolve();
  let aheadLength = 0;
  try {
    for await (const chunk of chunks(incoming, options.signal)) {
      await incoming.onChunk?.(chunk);
      loaded += chunk.length;
      aheadLength += chunk.length;
      options.onProgress?.({ loaded, total: incoming.total, from: incoming.from });
      // Each but the last gets a copy; the last may have the bytes themselves.
      const taken = engines.map((engine, index) => engine.push(index < engines.length - 1 ? chunk.slice() : whole(chunk)));
      ahead = Promise.all([ahead, ...taken]);
      ahead.catch(() => undefined);
      if (aheadLength > AHEAD_MAX) {
        await ahead;
        aheadLength = 0;
      }
    }
    await ahead;
    const infos = await unlessAborted(Promise.all(engines.map((engine) => engine.load())), options.signal);
    await incoming.onLoaded?.();
    return infos[0];
  } catch (error) {
    await incoming.onFailed?.();
    const isStale = incoming.from === "cache" && error instanceof EncoderfileError;
    if (isStale && (error.code === "corrupt" || error.code === "not_encoderfile")) return undefined;
    throw error;
  }
}

/** A chunk that has its buffer for itself, so that the buffer can be sent away. */
function whole(chunk: Uint8Array): Uint8Array {
  return chunk.byteLength === chunk.buffer.byteLength ? chunk : chunk.slice();
}

function inferCall(item: string | Pair, options: string): Call {
  return { method: "infer", item: JSON.stringify(item), options };
}

function textOf(text: unknown): string {
  if (typeof text === "string") return text;
  throw new EncoderfileError("invalid_input", `not a text, but ${kindOf(text)}`);
}

function itemOf(item: unknown): string | Pair {
  if (typeof item === "string") return item;
  const { text, text_pair, ...others } = (item ?? {}) as Pair;
  const isPair = typeof item === "object" && typeof text === "string" && Object.keys(others).length === 0;
  if (isPair && ((text_pair ?? undefined) === undefined || typeof text_pair === "string")) return item as Pair;
  throw new EncoderfileError("invalid_input", `neither a text nor a pair of texts, but ${kindOf(item)}`);
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? "a list" : `a value of type ${typeof value}`;
}

/** Whether an error is about the text, and not about everything. */
function isOfText(error: EncoderfileError): boolean {
  return error.code === "invalid_input" || error.code === "internal" || error.code === "out_of_memory";
}

function inPlace(error: EncoderfileError, place: string): EncoderfileError {
  if (!(error instanceof EncoderfileError) || !isOfText(error)) return error;
  return new EncoderfileError(error.code, `${place}: ${error.message}`, { cause: error });
}

/** Best first; texts that score the same stay in their order. */
function ranked(results: Record<string, any>[], topK: number | undefined): Record<string, any>[] {
  const all = results.map((result, index) => ({ index, ...result }) as Record<string, any>);
  return all.sort((a, b) => b["score"] - a["score"]).slice(0, topK);
}

function optionsJson(options: { signal?: AbortSignal }): string {
  const { signal: _, ...others } = options;
  return JSON.stringify(snakeCase(others));
}

/** The names that the runtime has for options. */
function snakeCase(options: object): Record<string, unknown> {
  const entries = Object.entries(withoutAbsent(options));
  return Object.fromEntries(
    entries.map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  );
}

/** What is `null` is as if it were not there, as everywhere. */
function withoutAbsent<T extends object>(options: T): T {
  const present = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(present) as T;
}
