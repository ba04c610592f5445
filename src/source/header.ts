/** Characters of a header's name (RFC 9110, token). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Characters of a header's value that every server takes: printable ASCII, space and tab within. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

/** These frame the message, and the client sets them itself. */
const RESERVED = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** For messages about a name that a definition must not set. */
export const HEADER_NAME_SYNTAX = `the name of a header other than ${[...RESERVED].join(', ')}`;

export const isSettableHeader = (name: string): boolean => HEADER_NAME.test(name) && !RESERVED.has(name.toLowerCase());

/** So that what a definition names replaces a default, whatever its case. */
export const lowerCaseNames = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

export const isHeaderValue = (value: string): boolean => HEADER_VALUE.test(value);

/** undici gives a header that came more than once as a list of its values. */
type Received = string | readonly string[] | undefined;

/** Values of a header that is a list by itself (`Vary`): sent twice it is one longer list. */
export const listedHeader = (value: Received): readonly string[] =>
  [value ?? []].flat().flatMap((text) => text.split(',').map((item) => item.trim().toLowerCase()));

/**
 * A tag or a date that an answer can be named by later. Null when it came twice, since it then names nothing, and when we
 * could not send it back.
 */
export const validatorHeader = (value: Received): string | null =>
  typeof value === 'string' && isHeaderValue(value) ? value : null;
