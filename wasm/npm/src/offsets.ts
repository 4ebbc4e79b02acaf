/**
 * Places in a text: the runtime counts code points, JavaScript UTF-16 units.
 *
 * @module
 */

interface Span {
  start: number;
  end: number;
}

/** The same spans, so that `text.slice(start, end)` is what they are of. */
export function toUtf16<T extends Span>(text: string, spans: T[]): T[] {
  // Without pairs of surrogates both count the same.
  if (!/[\ud800-\udbff][\udc00-\udfff]/.test(text)) return spans;
  const units = [0];
  for (const character of text) units.push(units[units.length - 1]! + character.length);
  return spans.map((span) => ({ ...span, start: units[span.start]!, end: units[span.end]! }));
}
