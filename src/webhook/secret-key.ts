import type { SecretForm } from './scheme.ts';

/** Padding may be missing: people copy secrets from dashboards that leave it out. */
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const HEX = /^(?:[0-9a-fA-F]{2})+$/;

export type SecretKey =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly problem: string };

/** The bytes of a signing key. Refuses what is empty or not in the encoding; the problem never shows the secret. */
export function decodeSecret(secret: string, form: SecretForm): SecretKey {
  const { encoding, stripPrefix } = form;
  const text = stripPrefix !== '' && secret.startsWith(stripPrefix) ? secret.slice(stripPrefix.length) : secret;
  if (text === '') return { ok: false, problem: 'is empty' };
  switch (encoding) {
    case 'utf8':
      return { ok: true, bytes: Buffer.from(text, 'utf8') };
    case 'hex':
      return HEX.test(text) ? { ok: true, bytes: Buffer.from(text, 'hex') } : { ok: false, problem: 'is not hex' };
    case 'base64': {
      const bare = text.replace(/={1,2}$/, '');
      const bytes = Buffer.from(bare, 'base64');
      // A length of 4n + 1 encodes nothing, and padding that is there must be the right one.
      const isWhole = bare.length % 4 !== 1 && (bare === text || text.length % 4 === 0);
      return BASE64.test(text) && isWhole ? { ok: true, bytes } : { ok: false, problem: 'is not base64' };
    }
  }
}
