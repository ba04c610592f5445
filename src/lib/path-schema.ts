import { z } from 'zod';
import { PATH_SYNTAX, type Path, parsePath } from './path.ts';

/** A dot path into parsed JSON; empty text is the value itself. */
export const pathSchema = z.string().refine((text) => parsePath(text) !== null, { error: `expected ${PATH_SYNTAX}` });

/** A path that a schema has accepted. Throws on text that is none. */
export function mustParsePath(text: string): Path {
  const path = parsePath(text);
  if (path === null) throw new TypeError(`Not a path: expected ${PATH_SYNTAX}`);
  return path;
}
