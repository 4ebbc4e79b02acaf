// Numbers and words as people read them.

/** @param {number} value */
export const whole = (value) => value.toLocaleString("en");

/**
 * `1 text`, `2 texts`.
 *
 * @param {number} count
 * @param {string} noun
 */
export const many = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

/**
 * With a capital letter.
 *
 * @param {string} words
 */
export const sentence = (words) => words.slice(0, 1).toUpperCase() + words.slice(1);

/**
 * `24.2 MB`, of a million bytes each.
 *
 * @param {number} count
 */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  const scaled = count / 1000 ** power;
  return `${power === 0 ? scaled : scaled.toFixed(scaled < 100 ? 1 : 0)} ${units[power]}`;
}

/**
 * `8.3 ms`, `240 ms`, `1.2 s`.
 *
 * @param {number} milliseconds
 */
export function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 1 : 0)} s`;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

/**
 * Four digits where they say something.
 *
 * @param {number} value
 */
export function digits(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "–";
  if (size > 0 && size < 0.00005) return value.toExponential(1);
  return size < 100 ? value.toFixed(4) : value.toFixed(1);
}

/**
 * Two decimals: what a list or a matrix of scores needs.
 *
 * @param {number} value
 */
export function score(value) {
  if (!Number.isFinite(value)) return "–";
  return Math.abs(value) < 100 ? value.toFixed(2) : value.toFixed(0);
}
