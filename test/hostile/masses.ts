import { constants, createBrotliCompress, gzipSync } from 'node:zlib';
import { type Misbehaviour, pour, type Strike, sendText } from './strike.ts';

const MEGABYTE = 1024 * 1024;
const HUGE_BYTES = 3_000_000_000;
const ITEMS = 1_000_000;
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
const SPACES = Buffer.alloc(MEGABYTE, 0x20);

/** A body of 3 GB of blanks, as the first bytes frame it. */
const huge =
  (framing: string, piece: Buffer): Misbehaviour =>
  ({ socket }) => {
    let left = HUGE_BYTES;
    socket.write(`${HEAD}${framing}\r\n\r\n`);
    pour(
      socket,
      () => {
        left -= piece.length;
        return left > 0 ? piece : null;
      },
      () => socket.end(),
    );
  };

/** Members of gzip that follow each other are one content: 16 MB each, 3.2 GB together, 3 MB as sent. */
const makeGzipBomb = once(() => {
  const member = gzipSync(Buffer.alloc(16 * MEGABYTE, '['), { level: 9 });
  return Buffer.concat(Array.from({ length: 200 }, () => member));
});

/** 1 GB of one character in a few hundred bytes. */
async function makeBrotliBomb(): Promise<Buffer> {
  const packer = createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 3 } });
  const parts: Buffer[] = [];
  packer.on('data', (part: Buffer) => parts.push(part));
  const piece = Buffer.alloc(16 * MEGABYTE, '[');
  for (let written = 0; written < 1024 * MEGABYTE; written += piece.length) {
    if (!packer.write(piece)) await new Promise((resolve) => packer.once('drain', resolve));
  }
  packer.end();
  await new Promise((resolve) => packer.once('end', resolve));
  return Buffer.concat(parts);
}

const millionItems = once(() => Buffer.from(`[${Array.from({ length: ITEMS }, (_, id) => `{"id":${id}}`).join(',')}]`));

const send = (strike: Strike, body: Buffer, encoding: string): void =>
  sendText(strike, 200, body, { 'content-encoding': encoding });

/** Answers that are far too large, openly or packed. */
export const masses: Readonly<Record<string, Misbehaviour>> = {
  '/huge/announced': huge(`content-length: ${HUGE_BYTES}`, SPACES),
  '/huge/chunked': huge(
    'transfer-encoding: chunked',
    Buffer.concat([Buffer.from('100000\r\n'), SPACES, Buffer.from('\r\n')]),
  ),
  '/huge/until-closed': huge('connection: close', SPACES),
  '/huge/says-it-is-small': huge('content-length: 10', SPACES),
  '/huge/error': (strike) => {
    const { socket } = strike;
    socket.write('HTTP/1.1 500 No\r\nconnection: close\r\n\r\n');
    let left = HUGE_BYTES;
    pour(
      socket,
      () => {
        left -= SPACES.length;
        return left > 0 ? SPACES : null;
      },
      () => socket.end(),
    );
  },
  '/bomb/gzip': (strike) => send(strike, makeGzipBomb(), 'gzip'),
  '/bomb/nested-declared': (strike) => send(strike, gzipSync(makeGzipBomb()), 'gzip, gzip'),
  '/bomb/nested-undeclared': (strike) => send(strike, gzipSync(makeGzipBomb()), 'gzip'),
  '/bomb/brotli': (strike) => {
    void makeBrotliBomb().then((bomb) => send(strike, bomb, 'br'));
  },
  '/items/million': (strike) => sendText(strike, 200, millionItems()),
};

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
