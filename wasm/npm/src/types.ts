/**
 * What goes in and what comes out.
 *
 * @module
 */

import type { Origin } from "./incoming.js";

/** How far loading is. */
export interface Progress {
  /** Bytes that have arrived. */
  loaded: number;
  /** Bytes there are, where that is known. */
  total: number | undefined;
  /** Where they come from: the network, the cache, or what `load` was given. */
  from: Origin;
}

/** How a model is loaded. */
export interface LoadOptions {
  /** Called as bytes arrive. */
  onProgress?: (progress: Progress) => void;
  /** Stops loading. */
  signal?: AbortSignal;
  /**
   * Keep what an address gives in the Cache API, under its hash, and use it the
   * next time. Default: true, where there is one.
   */
  cache?: boolean;
  /** Headers for the requests, for example `Authorization`. */
  headers?: HeadersInit;
  /**
   * Run in a worker, so that the page stays responsive. Default: true, where
   * there are workers, which is not in service workers; but not in Node or Deno.
   */
  worker?: boolean;
  /**
   * Run in so many workers, for several texts at once. Each holds the model.
   * Default: 1.
   */
  workers?: number;
  /**
   * The package's `encoderfile.wasm`, where its own address does not lead to it:
   * its address, its bytes, or the module.
   */
  wasm?: string | URL | BufferSource | WebAssembly.Module;
}

/** What a model's file says of itself; the `info` of the command line. */
export interface Info {
  name: string;
  version: string;
  /** What it computes. */
  task:
    | "embedding"
    | "sentence_embedding"
    | "sparse_embedding"
    | "sequence_classification"
    | "token_classification"
    | "fill_mask"
    | "late_interaction";
  /** The base model or architecture. */
  architecture: string;
  /** What comes out, in words. */
  output: string;
  /** Classification: the label of each logit. */
  labels?: string[];
  /** Embeddings and cross-encoders: named texts that can be prepended to a text. */
  prompts?: Record<string, string>;
  /** Embeddings and cross-encoders: the one for requests that say nothing. */
  default_prompt?: string | null;
  /** Embeddings: how they are meant to be compared. */
  similarity?: string;
  /** Maximum sequence length in tokens, special tokens included. */
  max_tokens: number;
  /** Which file and key of the model folder says so. */
  max_tokens_source: string;
  /** Late interaction: the most tokens of a query and of a document, markers included. */
  max_tokens_by_role?: { query: number; document: number };
  vocabulary_size: number;
  /** How the large matrices are stored. */
  weights: string;
  /** What products with large matrices are computed in: `f32` or `int8`. */
  compute: string;
  /** The smallest cosine between outputs and those with float32 throughout. */
  worst_cosine: number;
  license: string;
  /** BLAKE3 over manifest and footer, in hexadecimal; the manifest has the BLAKE3 of each artifact. */
  payload_digest: string;
  /** Equal only for files whose embeddings may be compared. */
  embedding_space_id: string;
  /** SHA-256 of the ONNX file that the model was built from and of its external data. */
  source_sha256: string;
  built_by: string;
  /** The parts of the file. */
  sizes_bytes: Record<string, number>;
}

/** What every request may say. */
export interface RequestOptions {
  /** Rejects the request at once; texts that have not begun are not computed. */
  signal?: AbortSignal;
  /** What to do with a text of more tokens than the model's maximum sequence length. Default: `truncate`. */
  overflow?: "truncate" | "error";
  /** Truncation side: which end of a text of too many tokens is truncated. Default: the tokenizer's. */
  truncationSide?: "left" | "right";
  /** Maximum sequence length in tokens, special tokens included. Default: what the model takes. */
  maxTokens?: number;
}

/** How embeddings are made. */
export interface EmbedOptions extends Omit<RequestOptions, "overflow"> {
  /** `mean` reads a text that is too long in windows and averages them. Default: `truncate`. */
  overflow?: "truncate" | "error" | "mean";
  /** Divide by the L2 norm, or not. Default: the model's. */
  normalize?: boolean;
  /** Keep so many of the first values (Matryoshka). */
  dimensions?: number;
  /**
   * What the text is to a search: prepends the model's prompt for it, if it has one; late
   * interaction gives it its marker, length and expansion.
   */
  role?: "query" | "document";
  /** Prepend the model's prompt of this name. */
  promptName?: string;
  /** Prepend this; empty for no prompt at all. */
  prompt?: string;
}

/** How entities are found. */
export interface EntityOptions extends RequestOptions {
  /** How tokens become spans; transformers' `aggregation_strategy`. Default: `simple`. */
  aggregation?: "simple" | "first" | "average" | "max";
  /** Labels to leave out. Default: `O`. */
  ignoreLabels?: string[];
  /** Read a long text in overlapping windows, which share this many tokens. */
  stride?: number;
}

/** A labelled part of a text. */
export interface Entity {
  /** The label, without `B-` and `I-`. */
  entity_group: string;
  /** The probability of the label. */
  score: number;
  /** As the tokenizer puts its tokens together; `text.slice(start, end)` is how the text spells it. */
  word: string;
  /** First UTF-16 unit. */
  start: number;
  /** One past the last UTF-16 unit. */
  end: number;
}

/** How texts are classified. */
export interface ClassifyOptions extends RequestOptions {
  /** Zero-shot classification: the labels to choose from. Needs a model trained on NLI. */
  labels?: string[];
  /** Zero-shot: the sentence a label is put into, at `{}`. Default: `This example is {}.` */
  template?: string;
  /** Zero-shot: score each label independently, rather than one of all. */
  multiLabel?: boolean;
  /** Logits instead of scores. */
  rawScores?: boolean;
  /** Truncation strategy: which text of a pair of too many tokens is truncated. Default: the model's (`longest_first` unless its build said otherwise); with labels: `only_first`. */
  truncationStrategy?: "longest_first" | "only_first" | "only_second";
}

/** A label and how well it fits. */
export interface ClassScore {
  label: string;
  score: number;
}

/** Two texts to be read together. */
export interface Pair {
  text: string;
  text_pair?: string;
}

/** How answers are ranked. */
export interface RerankOptions extends RequestOptions {
  /** Only so many of the best. */
  topK?: number;
  /** Logits instead of scores; MaxSim is raw in any case. */
  rawScores?: boolean;
  /** Put the model's prompt of this name in front of the query. */
  promptName?: string;
  /** Put this in front of the query; empty for no prompt at all. */
  prompt?: string;
}

/** A text and how well it answers a query. */
export interface Ranked {
  /** Its place among the texts. */
  index: number;
  score: number;
}

/** How masks are filled. */
export interface FillMaskOptions extends RequestOptions {
  /** At most so many candidates for each mask. Default: 5. */
  topK?: number;
  /** Only these candidates. */
  targets?: string[];
}

/** A candidate token for a mask. */
export interface Filling {
  /** Its probability. */
  score: number;
  /** Index into the vocabulary. */
  token: number;
  /** The token as text. */
  token_str: string;
  /** The text with the token in place of the mask. */
  sequence: string;
}

/** A token and where it stands. */
export interface Token {
  /** As the vocabulary spells it. */
  token: string;
  token_id: number;
  /** First UTF-16 unit; 0 for special tokens. */
  start: number;
  /** One past the last UTF-16 unit; 0 for special tokens. */
  end: number;
  /** Whether the tokenizer added it. */
  special: boolean;
}

/** A tokenised text. */
export interface Tokenized {
  tokens: Token[];
  /** Of the whole text. */
  tokens_total: number;
  /** That the model sees. */
  tokens_used: number;
}

/** What a self-test found. */
export interface SelfTest {
  /** Whether the results are those that were stored. */
  passed: boolean;
  /** How many were recomputed. */
  cases: number;
  /** How many of them had other token ids. */
  token_mismatches: number;
  /** The largest difference of a number, divided by the case's largest where that is above 1. */
  largest_difference: number;
  /** What it may be at most: 1e-5, or 0.05 where products are computed in int8. */
  limit: number;
}

/** Every option of the command line's `infer` and the server's `/predict`, under its name there. */
export interface InferOptions {
  overflow?: "truncate" | "error" | "mean";
  truncation_side?: "left" | "right";
  truncation_strategy?: "longest_first" | "only_first" | "only_second";
  max_tokens?: number;
  prompt?: string;
  prompt_name?: string;
  role?: "query" | "document";
  normalize?: boolean;
  dimensions?: number;
  /** Of a model with several kinds (BGE-M3); with a query, what scores are made of. */
  vectors?: "dense" | "sparse" | "colbert" | "all";
  /** The token embeddings instead of the one that they are pooled into. */
  unpooled?: boolean;
  /** Also the tokens that are not in the text. */
  special_tokens?: boolean;
  aggregation?: "none" | "simple" | "first" | "average" | "max";
  ignore_labels?: string[];
  stride?: number;
  query?: string;
  labels?: string[];
  template?: string;
  multi_label?: boolean;
  raw_scores?: boolean;
  top_k?: number;
  targets?: string[];
}

/** A request as the server's `/predict` takes it: texts or pairs, and options beside them. */
export interface InferRequest extends InferOptions {
  inputs: (string | Pair)[];
  /** Given back as it is. */
  metadata?: Record<string, unknown>;
  /** A text that fails has `{"error"}` in its place, instead of failing the request. */
  partial?: boolean;
}

/** What comes back: a result for each input; with a `query`, best first. */
export interface InferResponse {
  results: Record<string, any>[];
  model_id: string;
  metadata?: Record<string, unknown>;
}
