import { type Misbehaviour, sendText } from './strike.ts';

const DEPTH = 100_000;

const text =
  (body: string | Buffer): Misbehaviour =>
  (strike) =>
    sendText(strike, 200, body);

/** Bodies that come whole and are odd JSON, or none. */
export const texts: Readonly<Record<string, Misbehaviour>> = {
  '/text/byte-order-mark': text('\ufeff["fine"]'),
  '/text/utf-16': text(Buffer.from('\ufeff["fine"]', 'utf16le')),
  '/text/invalid-utf-8': text(Buffer.from([0x5b, 0x22, 0xc3, 0x28, 0x22, 0x5d])),
  '/text/cut-utf-8': text(Buffer.from([0x5b, 0x22, 0xe2, 0x82, 0x22, 0x5d])),
  '/text/nan': text('[NaN]'),
  '/text/infinity': text('[{"amount":-Infinity}]'),
  '/text/large-exponent': text('[{"amount":1e999}]'),
  '/text/single-quotes': text("['fine']"),
  '/text/trailing-comma': text('["fine",]'),
  '/text/two-documents': text('["fine"]["fine"]'),
  '/text/json-lines': text('["fine"]\n["fine"]\n'),
  '/text/blanks': text(' '.repeat(1_000_000)),
  '/text/nul': text('["fi\0ne"]'),
  '/text/lone-surrogate': text('["\\ud800"]'),
  '/text/deep': text(`${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}`),
  '/text/deep-objects': text(`[${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}]`),
  '/text/duplicate-keys': text('[{"id":"first","id":"second"}]'),
  '/text/prototype-keys': text(
    '[{"id":"c1","__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}}]',
  ),
  '/text/prototype-envelope': text('{"__proto__":{"data":["fine"]}}'),
  '/text/items-not-objects': text('[null,1,"x",[],true,{"id":"c1"}]'),
  '/text/items-not-a-list': text('{"data":{"0":"fine","length":1}}'),
  '/text/scalar': text('"fine"'),
  '/text/null': text('null'),
};
