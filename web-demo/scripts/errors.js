// What went wrong in plain words, and what to do about it: one line for each code of
// EncoderfileError.

import { EncoderfileError } from "../encoderfile/index.js";
import { sentence } from "../ui/format.js";

/** @import { ErrorCode } from "encoderfile" */

/** @type {Partial<Record<ErrorCode, (error: EncoderfileError) => string>>} */
const words = {
  network: () => "The address cannot be reached. Is it right, is there a network, and does its server allow other pages to read it (CORS)?",
  http: ({ status }) => `The server has no such file for us: it answered ${status ?? "with an error"}. Check the address.`,
  invalid_source: () => "That is not an address or a file that can be read. Try another.",
  not_encoderfile: () => "That file is not an encoderfile: it does not end like one. Choose one that `encoderfile build` made.",
  unsupported_format: () => "That encoderfile has another format version. Build it again with this version of encoderfile.",
  corrupt: () => "That encoderfile is damaged: it was cut short or changed. Copy or download it again.",
  unsupported_model: () => "The model in it cannot run in a browser. Build it again with this version of encoderfile, or use another.",
  unsupported_environment: (error) => `This browser cannot run it. ${sentence(error.message)}.`,
  out_of_memory: () => "There is not enough memory for that. Close other tabs, or use a smaller model.",
  worker: () => "The model's worker ended. Load the model again.",
  invalid_input: (error) => `The model cannot take this text. ${sentence(error.message)}`,
  invalid_option: (error) => `The model cannot do that. ${sentence(error.message)}`,
  wrong_task: (error) => sentence(error.message),
  internal: (error) => `A bug, sorry: ${error.message}`,
};

/** @param {unknown} error */
export const codeOf = (error) => (error instanceof EncoderfileError ? error.code : undefined);

/** @param {unknown} error */
export function wordsFor(error) {
  const known = error instanceof EncoderfileError ? words[error.code]?.(error) : undefined;
  return known ?? `Something unexpected happened: ${error instanceof Error ? error.message : error}`;
}

/**
 * Whether nobody waits for what failed any more.
 *
 * @param {unknown} error
 * @param {AbortSignal} signal
 */
export const isDropped = (error, signal) => signal.aborted || codeOf(error) === "disposed";
