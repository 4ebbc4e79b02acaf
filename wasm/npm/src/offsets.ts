/**
 * Places in a text: the runtime counts code points, JavaScript UTF-16 units.
 *
 * @module
 */

import type { Pair, Token } from "./types.js";

interface Span {
  start: number;
  end: number;
}

/** The same spans, so that `text.slice(start, end)` is what they are of. */
export function toUtf16<T extends Span>(text: string, spans: T[]): T[] {
  const units = unitsOf(text);
  return units ? spans.map((span) => inUnits(span, units)) : spans;
}

/** The same of tokens, which may be those of two texts. */
export function tokensToUtf16(item: string | Pair, tokens: Token[]): Token[] {
  if (typeof item === "string") return toUtf16(item, tokens);
  const texts = [item.text, item.text_pair ?? ""];
  // Special tokens stand around and between the texts; one that is empty has no tokens.
  let which = item.text.trim() === "" ? 1 : 0;
  return tokens.map((token, index) => {
    if (token.special && index > 0 && !tokens[index - 1]!.special) which = 1;
    const units = token.special ? undefined : unitsOf(texts[which]!);
    return units ? inUnits(token, units) : token;
  });
}

/** Where each code point begins; `undefined` where both count the same. */
function unitsOf(text: string): number[] | undefined {
  if (!/[\ud800-\udbff][\udc00-\udfff]/.test(text)) return undefined;
  const units = [0];
  for (const character of text) units.push(units[units.length - 1]! + character.length);
  return units;
}

function inUnits<T extends Span>(span: T, units: number[]): T {
  return { ...span, start: units[span.start]!, end: units[span.end]! };
}
