/** A pattern over event types; see `prepareMatcher`. */
type Pattern<Value> = {
  readonly text: string;
  readonly pieces: readonly string[];
  /** The pattern ends in `*`, which takes whatever follows, dots included, but at least one character. */
  readonly isOpen: boolean;
  readonly value: Value;
};

/**
 * Prepares the choice among patterns of event types. A pattern without `*` matches itself alone. A `*` between dots stands
 * for one segment (`customer.*.created`), a `*` at the end for the rest (`customer.*`, `orders/*`, `*`).
 * An exact pattern goes before any other; then the longer one; of equal length, the one that is not open at its end.
 */
export function prepareMatcher<Value>(patterns: Iterable<readonly [string, Value]>): (type: string) => Value | null {
  const exact = new Map<string, Value>();
  const wild: Pattern<Value>[] = [];
  for (const [text, value] of patterns) {
    if (!text.includes('*')) {
      exact.set(text, value);
      continue;
    }
    const isOpen = text.endsWith('*');
    wild.push({ text, pieces: (isOpen ? text.slice(0, -1) : text).split('.'), isOpen, value });
  }
  wild.sort((a, b) => b.text.length - a.text.length || Number(a.isOpen) - Number(b.isOpen));
  return (type) => {
    const found = exact.get(type);
    if (found !== undefined) return found;
    return wild.find((pattern) => matches(pattern, type))?.value ?? null;
  };
}

/** Whether a pattern is one: a `*` fills a whole segment or stands at the very end. */
export const isPattern = (text: string): boolean =>
  text !== '' &&
  text.split('.').every((piece, index, pieces) => {
    const star = piece.indexOf('*');
    return star === -1 || piece === '*' || (index === pieces.length - 1 && star === piece.length - 1);
  });

function matches(pattern: Pattern<unknown>, type: string): boolean {
  const segments = type.split('.');
  const { pieces, isOpen } = pattern;
  if (isOpen ? segments.length < pieces.length : segments.length !== pieces.length) return false;
  return pieces.every((piece, index) => {
    if (isOpen && index === pieces.length - 1) {
      const rest = segments.slice(index).join('.');
      return rest.length > piece.length && rest.startsWith(piece);
    }
    const segment = segments[index];
    return piece === '*' ? segment !== '' : piece === segment;
  });
}
