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

export const isHeaderValue = (value: string): boolean => HEADER_VALUE.test(value);
