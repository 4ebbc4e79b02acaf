// What the server answers, as far as the page reads it: GET /info and POST /predict.

import type { Info } from "encoderfile";
import type { TokenEmbedding } from "../ui/vectors.js";

/** What GET /info says. */
export interface ServerInfo {
  max_client_batch_size: number;
  encoderfile: FileInfo;
  [limit: string]: unknown;
}

/** What the file contains. */
export interface FileInfo extends Info {
  capabilities: string[];
  /** Numbers in a row of the output. */
  width: number;
  /** Fill-mask: how a text spells what is missing. */
  mask_token?: string;
}

/** The request of POST /predict. */
export interface PredictRequest {
  inputs: (string | { text: string; text_pair: string })[];
  [option: string]: unknown;
}

/** What every result has, whatever the model computes. */
export interface Result {
  tokens_total: number;
  tokens_used: number;
  /** Reranking: the place among the inputs. */
  index?: number;
}

export interface Embedding extends Result {
  embedding: number[];
}

export interface TokenEmbeddings extends Result {
  embeddings: TokenEmbedding[];
}

export interface SparseEmbedding extends Result {
  sparse_embedding: { index: number; value: number }[];
}

export interface Classification extends Result {
  scores: number[];
  predicted_label: string;
}

/** Best first. */
export interface ZeroShot extends Result {
  labels: string[];
  scores: number[];
}

export interface Reranked extends Result {
  index: number;
  score: number;
}

/** Offsets are code points. A span has a group, a single token an entity. */
export interface Entity {
  entity_group?: string;
  entity?: string;
  score: number;
  start: number;
  end: number;
}

export interface Entities extends Result {
  entities: Entity[];
}

/** Of each mask the likeliest tokens, best first. */
export interface FillMask extends Result {
  masks: { token_str: string; score: number; sequence: string }[][];
}
