/** A piece of the text that a sender signs. */
export type Token =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'body' | 'ts' | 'method' | 'url' | 'path' | 'secret' }
  /** The delivery id. */
  | { readonly kind: 'id' }
  /** A header of the request, or a value out of the signature header (`t=…`). */
  | { readonly kind: 'header' | 'key'; readonly name: string }
  /** A fixed parameter of the scheme. */
  | { readonly kind: 'param'; readonly name: string };

/** For messages about a template that is none. */
export const TEMPLATE_SYNTAX =
  'text with {body}, {ts}, {id}, {method}, {url}, {path}, {secret}, {header:NAME}, {key:NAME} or {param:NAME} in it';

export const MAX_TEMPLATE_TOKENS = 20;

const SIMPLE = ['body', 'ts', 'id', 'method', 'url', 'path', 'secret'] as const;
const NAMED = ['header', 'key', 'param'] as const;
const PIECE = /\{([a-z]+)(?::([^{}]{1,100}))?\}|([^{}]+)/y;

/** Cuts a template such as `v0:{ts}:{body}` into tokens. Null when the text is no template (see `TEMPLATE_SYNTAX`). */
export function parseTemplate(template: string): readonly Token[] | null {
  const tokens: Token[] = [];
  let position = 0;
  while (position < template.length) {
    if (tokens.length === MAX_TEMPLATE_TOKENS) return null;
    PIECE.lastIndex = position;
    const match = PIECE.exec(template);
    const token = match === null ? null : tokenOf(match[1], match[2], match[3]);
    if (token === null) return null;
    tokens.push(token);
    position = PIECE.lastIndex;
  }
  return tokens;
}

function tokenOf(word: string | undefined, name: string | undefined, text: string | undefined): Token | null {
  if (text !== undefined) return { kind: 'literal', text };
  if (name === undefined) {
    const kind = SIMPLE.find((known) => known === word);
    return kind === undefined ? null : { kind };
  }
  const kind = NAMED.find((known) => known === word);
  if (kind === undefined) return null;
  if (kind === 'param') return { kind, name };
  return { kind, name: kind === 'header' ? name.toLowerCase() : name };
}
