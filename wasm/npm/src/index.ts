/**
 * Embeddings, classification and entities from one file, in the browser and
 * wherever else there is JavaScript.
 *
 * @module
 */

export { Encoderfile } from "./encoderfile.js";
export { EncoderfileError, type ErrorCode } from "./error.js";
export type { Origin, Source } from "./incoming.js";
export type * from "./types.js";
