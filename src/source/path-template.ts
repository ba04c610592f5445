import { SourceError } from './error.ts';

/** A path as the definition writes it, cut at its placeholders. */
export type PathTemplate = { readonly text: string; readonly parts: readonly PathPart[] };
type PathPart =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'placeholder'; readonly name: string; readonly keepsSlashes: boolean };

/** For messages about text that is no path template. */
export const PATH_TEMPLATE_SYNTAX =
  'a path that begins with / and has no ? or #, with placeholders such as {id}, or {+repository} for a value with slashes (never {+id}), and no part that is . or ..';

const MAX_TEMPLATE_LENGTH = 500;
/** Longer ones make URLs that servers refuse. */
const MAX_VALUE_LENGTH = 1_024;
const PLACEHOLDER = /\{(\+?[A-Za-z][A-Za-z0-9_]*)\}/;
const LITERAL = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*$/;
/** URLs resolve these away, percent-encoded or not, so they would lead to another endpoint. */
const DOT_SEGMENT = /^(?:\.|%2e){1,2}$/i;

/** Null when the text is no template (see `PATH_TEMPLATE_SYNTAX`). */
export function parsePathTemplate(text: string): PathTemplate | null {
  if (!text.startsWith('/') || text.startsWith('//') || text.length > MAX_TEMPLATE_LENGTH) return null;
  if (text.split('/').some((segment) => DOT_SEGMENT.test(segment))) return null;
  const parts: PathPart[] = [];
  // Splitting at a pattern with one group gives literal, name, literal, name, … literal.
  for (const [index, piece] of text.split(PLACEHOLDER).entries()) {
    if (index % 2 === 1) {
      const keepsSlashes = piece.startsWith('+');
      const name = keepsSlashes ? piece.slice(1) : piece;
      // Ids come from outside; one with slashes could lead to any endpoint.
      if (name === 'id' && keepsSlashes) return null;
      parts.push({ kind: 'placeholder', name, keepsSlashes });
    } else if (!LITERAL.test(piece)) return null;
    else if (piece !== '') parts.push({ kind: 'literal', text: piece });
  }
  return { text, parts };
}

/** Names in the braces of a path; none when the text is no template. */
export const placeholdersOf = (text: string): readonly string[] =>
  (parsePathTemplate(text)?.parts ?? []).flatMap((part) => (part.kind === 'placeholder' ? [part.name] : []));

/**
 * The path with every placeholder filled in, each value encoded whole: a slash in it stays part of the value, but for
 * `{+name}`, where it parts segments.
 * Throws `bad_id` on a value that is missing, empty, too long, not text, or that would change the path around it.
 */
export function fillPath(template: PathTemplate, values: Readonly<Record<string, string>>): string {
  let path = '';
  for (const part of template.parts) {
    if (part.kind === 'literal') path += part.text;
    else path += encodeValue(template, part, Object.hasOwn(values, part.name) ? values[part.name] : undefined);
  }
  if (path.split('/').some((segment) => DOT_SEGMENT.test(segment)))
    throw badValue(template, 'a value of . or .. is resolved away in an address, and leads to another endpoint');
  return path;
}

type Placeholder = Extract<PathPart, { kind: 'placeholder' }>;

function encodeValue(template: PathTemplate, { name, keepsSlashes }: Placeholder, value: string | undefined): string {
  if (value === undefined) throw badValue(template, `{${name}} has no value: name it under \`params\` of the source`);
  if (value === '') throw badValue(template, `{${name}} is empty`);
  if (value.length > MAX_VALUE_LENGTH) throw badValue(template, `{${name}} is over ${MAX_VALUE_LENGTH} characters`);
  try {
    return keepsSlashes ? value.split('/').map(encodeURIComponent).join('/') : encodeURIComponent(value);
  } catch {
    throw badValue(template, `{${name}} is not well-formed text`); // a lone surrogate
  }
}

const badValue = (template: PathTemplate, what: string): SourceError =>
  new SourceError('bad_id', `${template.text}: ${what}`);
