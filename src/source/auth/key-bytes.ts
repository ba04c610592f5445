import { z } from 'zod';

/** How the bytes of a shared key are written in its setting. */
export const keyEncodingSchema = z.enum(['utf8', 'base64', 'hex']);
export type KeyEncoding = z.infer<typeof keyEncodingSchema>;

/** Of either alphabet; padding may be missing, as people copy keys from dashboards that leave it out. */
const BASE64 = /^(?:[A-Za-z0-9+/]+|[A-Za-z0-9_-]+)={0,2}$/;
const HEX = /^(?:[0-9a-fA-F]{2})+$/;

export type KeyBytes = { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly problem: string };

/** The bytes of a shared key. Node's own decoders pass over what does not belong, and would sign with another key. */
export function readKeyBytes(text: string, encoding: KeyEncoding): KeyBytes {
  switch (encoding) {
    case 'utf8':
      // A file that ends in one is how it comes about, and every signature would be wrong.
      return /[\r\n]$/.test(text)
        ? { ok: false, problem: 'ends in a line break: set it without' }
        : { ok: true, bytes: Buffer.from(text, 'utf8') };
    case 'hex':
      return HEX.test(text)
        ? { ok: true, bytes: Buffer.from(text, 'hex') }
        : { ok: false, problem: 'is not hex: correct it, or say how it is written by the encoding' };
    case 'base64': {
      const bare = text.replace(/={1,2}$/, '');
      // A length of 4n + 1 encodes nothing, and padding that is there must be the right one.
      const isWhole = bare.length % 4 !== 1 && (bare === text || text.length % 4 === 0);
      return BASE64.test(text) && isWhole
        ? { ok: true, bytes: Buffer.from(bare, 'base64') }
        : { ok: false, problem: 'is not base64: correct it, or say how it is written by the encoding' };
    }
  }
}
