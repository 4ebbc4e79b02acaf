/**
 * LangChain.js: an `Embeddings` over a loaded model. LangChain itself is not
 * needed, since it asks for the methods and not for its class.
 *
 * ```js
 * import { EncoderfileEmbeddings } from "encoderfile/langchain";
 * const store = new MemoryVectorStore(new EncoderfileEmbeddings(model));
 * ```
 *
 * @module
 */

import type { Encoderfile } from "./encoderfile.js";
import type { EmbedOptions } from "./types.js";

/** LangChain's `EmbeddingsInterface`. */
export class EncoderfileEmbeddings {
  #model: Encoderfile;
  #options: EmbedOptions;

  /**
   * @param model a model for sentence embeddings
   * @param options for every request; the role is set by the method
   */
  constructor(model: Encoderfile, options: EmbedOptions = {}) {
    this.#model = model;
    this.#options = options;
  }

  /** The embeddings of texts to be found, with the model's prompt for them. */
  async embedDocuments(documents: string[]): Promise<number[][]> {
    const vectors = await this.#model.embed(documents, { ...this.#role("document"), ...this.#options });
    return vectors.map((vector) => Array.from(vector));
  }

  /** The embedding of a text to search for, with the model's prompt for it. */
  async embedQuery(document: string): Promise<number[]> {
    return Array.from(await this.#model.embed(document, { ...this.#role("query"), ...this.#options }));
  }

  /** A prompt in the options goes before the role's. */
  #role(role: "query" | "document"): EmbedOptions {
    const hasPrompt = this.#options.prompt !== undefined || this.#options.promptName !== undefined;
    return hasPrompt ? {} : { role };
  }
}
