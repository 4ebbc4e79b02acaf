// From a text to passages: paragraphs, and of long ones groups of sentences, each
// as long as the model reads at once.

/** The most passages that are used, so that the map and the search stay quick. */
export const PASSAGES_MAX = 2000;

/** Longer passages hold several thoughts, of which a search finds none well. */
const TOKENS_MAX = 256;

/** Tokens that the model adds to a text. */
const SPECIAL_TOKENS = 2;

/**
 * The passages of a text for a model that reads `maxTokens`, and how many there
 * would be without the limit.
 *
 * @param {string} text
 * @param {number} maxTokens
 */
export function passagesOf(text, maxTokens) {
  const budget = Math.max(Math.min(maxTokens, TOKENS_MAX) - SPECIAL_TOKENS, 8);
  const all = paragraphs(text).flatMap((paragraph) => pieces(paragraph, budget));
  return { passages: all.slice(0, PASSAGES_MAX), total: all.length };
}

/** What blank lines part; in a text without any, every line by itself. @param {string} text */
function paragraphs(text) {
  const lines = text.replace(/\r\n?/g, "\n").trim();
  const parts = /\n[ \t]*\n/.test(lines) ? lines.split(/\n[ \t]*\n\s*/) : lines.split("\n");
  return withHeadings(parts.map((part) => part.trim()).filter((part) => /[\p{L}\p{N}]/u.test(part)));
}

/** A heading of Markdown belongs to what follows it. @param {string[]} parts */
function withHeadings(parts) {
  /** @type {string[]} */
  const joined = [];
  let heading = "";
  for (const part of parts) {
    const title = /^#{1,6}[ \t]+([^\n]+?)[ \t]*#*$/.exec(part)?.[1];
    if (title !== undefined) {
      heading = heading ? `${heading} · ${title}` : title;
    } else {
      joined.push(heading ? `${heading}\n${part}` : part);
      heading = "";
    }
  }
  return heading ? [...joined, heading] : joined;
}

/** @param {string} paragraph @param {number} budget */
function pieces(paragraph, budget) {
  if (tokensAbout(paragraph) <= budget) return [paragraph];
  const parts = sentences(paragraph).flatMap((part) => (tokensAbout(part) <= budget ? [part] : words(part)));
  const found = [];
  let [piece, size] = ["", 0];
  for (const part of parts) {
    const more = tokensAbout(part);
    if (piece && size + more > budget) {
      found.push(piece.trim());
      [piece, size] = ["", 0];
    }
    piece += part;
    size += more;
  }
  if (piece.trim()) found.push(piece.trim());
  return found;
}

/** @param {string} text @returns {string[]} */
function sentences(text) {
  if (typeof Intl.Segmenter === "undefined") return text.match(/[^.!?]+[.!?]*\s*/g) ?? [text];
  return Array.from(new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(text), ({ segment }) => segment);
}

/** Of scripts without spaces, a few letters at a time. @param {string} text @returns {string[]} */
const words = (text) => text.match(/\S{1,12}\s*/gu) ?? [];

/** About how many tokens a text has: more rather than fewer. @param {string} text */
function tokensAbout(text) {
  /** @type {string[]} */
  const parts = text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
  return parts.reduce((sum, part) => sum + Math.ceil(part.length / 6), 0);
}

/**
 * The beginning of a passage, in one line.
 *
 * @param {string} text
 * @param {number} length
 */
export function shortened(text, length) {
  const line = text.replace(/\s+/g, " ").trim();
  if (line.length <= length) return line;
  const cut = line.slice(0, length);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), length / 2)).trimEnd()}…`;
}
