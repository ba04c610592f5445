import { z } from 'zod';

/** As Node gives them: names in lower case, repeated headers joined by `, ` (or a list of values). */
export type Headers = { readonly [name: string]: string | readonly string[] | undefined };

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const MAX_HEADER_NAMES = 8;

/** The name of a header, in any case; becomes lower case. */
export const headerNameSchema = z
  .string()
  .regex(HEADER_NAME, { error: 'expected the name of a header' })
  .transform((name) => name.toLowerCase());

/** Names of one header under which different senders know it: the first that is present counts. */
export const headerNamesSchema = z.array(headerNameSchema).min(1).max(MAX_HEADER_NAMES).readonly();

/** One header's text; null when it did not come. Values that came apart are joined as Node joins them. */
export function readHeader(headers: Headers, name: string): string | null {
  if (!Object.hasOwn(headers, name)) return null;
  const value = headers[name];
  if (value === undefined) return null;
  return typeof value === 'string' ? value : value.join(', ');
}

/** The first of these headers that is present. `names` must be in lower case. */
export function readFirstHeader(headers: Headers, names: readonly string[]): string | null {
  for (const name of names) {
    const value = readHeader(headers, name);
    if (value !== null) return value;
  }
  return null;
}
