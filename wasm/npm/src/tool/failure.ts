/**
 * What ends the command with one line.
 *
 * @module
 */

export class Failure extends Error {
  override name = "Failure";
}

/** What the system or the network says of a failure, which Node has in causes of errors. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause.message || ("code" in cause ? String(cause.code) : cause.name);
}
