/**
 * The one error that this package throws.
 *
 * @module
 */

/**
 * What went wrong, for programs. A code keeps its meaning between versions.
 *
 * | code | meaning |
 * |---|---|
 * | `network` | nothing answered, or the connection ended early |
 * | `http` | the server answered with an error; see {@link EncoderfileError.status} |
 * | `aborted` | the `signal` was aborted; `cause` is its reason |
 * | `invalid_source` | `load` was given something it cannot read |
 * | `not_encoderfile` | the bytes do not end as an encoderfile does |
 * | `unsupported_format` | an encoderfile of another format version |
 * | `corrupt` | the bytes are not those that were built: cut short or changed |
 * | `unsupported_model` | the model in it cannot be run |
 * | `unsupported_environment` | WebAssembly is missing, too old or forbidden |
 * | `out_of_memory` | there is not enough memory |
 * | `worker` | the worker could not be started, or ended |
 * | `invalid_input` | a text is no string, or one the model cannot take |
 * | `invalid_option` | an option is unknown, wrong, or not for this model |
 * | `wrong_task` | the model computes something else |
 * | `not_finite` | the model computes NaN or infinity for this text |
 * | `disposed` | the model was disposed |
 * | `internal` | a bug |
 */
export type ErrorCode =
  | "network"
  | "http"
  | "aborted"
  | "invalid_source"
  | "not_encoderfile"
  | "unsupported_format"
  | "corrupt"
  | "unsupported_model"
  | "unsupported_environment"
  | "out_of_memory"
  | "worker"
  | "invalid_input"
  | "invalid_option"
  | "wrong_task"
  | "not_finite"
  | "disposed"
  | "internal";

/** What else is known of an error. */
export interface ErrorDetails {
  /** Of an `http` error: the status. */
  status?: number;
  /** What it follows from. */
  cause?: unknown;
}

/** Everything that this package throws. */
export class EncoderfileError extends Error {
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** The HTTP status, where the code is `http`. */
  readonly status: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    // The name that everything on the web has which was aborted.
    this.name = code === "aborted" ? "AbortError" : "EncoderfileError";
    this.code = code;
    this.status = details.status;
  }
}

/** An error with nothing but data, as it is sent between threads. */
export interface PlainError {
  code: ErrorCode;
  message: string;
}

/** What an instance threw, as data. */
export function toPlain(error: unknown): PlainError {
  const { code, message } = error as Partial<PlainError>;
  if (typeof code === "string") return { code, message: String(message) };
  // V8 and JavaScriptCore throw a RangeError where memory cannot be had.
  const outOfMemory = error instanceof RangeError && /memory|allocat/i.test(error.message);
  return { code: outOfMemory ? "out_of_memory" : "internal", message: String(error) };
}
