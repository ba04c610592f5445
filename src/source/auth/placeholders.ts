/** A text with `{word}` or `{word:argument}` in it, cut up. */
export type Piece<Word extends string> =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'word'; readonly word: Word; readonly argument: string };

export type Pieces<Word extends string> =
  | { readonly ok: true; readonly pieces: readonly Piece<Word>[] }
  | { readonly ok: false; readonly problem: string };

const PIECE = /\{([A-Za-z0-9]{1,30})(?::([^{}]{1,100}))?\}|([^{}]+)/y;
const MAX_PIECES = 40;

/** Cuts a text up. `words` says which words there are, and which of them take an argument. */
export function parsePieces<Word extends string>(
  text: string,
  words: Readonly<Record<Word, 'plain' | 'argument'>>,
): Pieces<Word> {
  const isWord = (name: string): name is Word => Object.hasOwn(words, name);
  const pieces: Piece<Word>[] = [];
  let position = 0;
  while (position < text.length) {
    if (pieces.length === MAX_PIECES) return { ok: false, problem: `has more than ${MAX_PIECES} parts` };
    PIECE.lastIndex = position;
    const match = PIECE.exec(text);
    const [, word = '', argument = '', literal] = match ?? [];
    if (match === null) return { ok: false, problem: `has a brace that is no placeholder: expected ${list(words)}` };
    if (literal !== undefined) pieces.push({ kind: 'literal', text: literal });
    else if (!isWord(word) || (words[word] === 'argument') !== (argument !== '')) {
      return { ok: false, problem: `has an unknown placeholder {${word}}: expected ${list(words)}` };
    } else pieces.push({ kind: 'word', word, argument });
    position = PIECE.lastIndex;
  }
  return { ok: true, pieces };
}

/** Pieces of a text that a schema has accepted. Throws on another. */
export function mustParsePieces<Word extends string>(
  text: string,
  words: Readonly<Record<Word, 'plain' | 'argument'>>,
): readonly Piece<Word>[] {
  const parsed = parsePieces(text, words);
  if (!parsed.ok) throw new TypeError('Not a template: definitions are checked before they are used');
  return parsed.pieces;
}

export type Values<Word extends string> = Readonly<Record<Word, (argument: string) => string>>;

/** The texts to be joined. */
export const fillPieces = <Word extends string>(
  pieces: readonly Piece<Word>[],
  values: Values<Word>,
): readonly string[] =>
  pieces.map((piece) => (piece.kind === 'literal' ? piece.text : values[piece.word](piece.argument)));

const list = (words: Readonly<Record<string, 'plain' | 'argument'>>): string =>
  Object.entries(words)
    .map(([word, form]) => (form === 'plain' ? `{${word}}` : `{${word}:NAME}`))
    .join(', ');
