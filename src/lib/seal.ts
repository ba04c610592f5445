import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

const KEY_BYTES = 32;
const VERSION = 1;
const KEY_ID_BYTES = 4;
/** Random for each value: with 96 bits one key is good for some billions of them. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;
const MAX_KEYS = 16;

/** Which value it is. Bound into the seal: a value moved to another place does not open there. */
export type SealContext = { readonly name: string; readonly purpose: string };

export type Sealer = {
  /** Seals under the first key. */
  seal(text: string, context: SealContext): Buffer;
  /** Opens what any of the keys has sealed. `isCurrent`: under the first one. Throws `SealError`. */
  open(sealed: Uint8Array, context: SealContext): { readonly text: string; readonly isCurrent: boolean };
};

/** `unknown_key`: sealed under a key that is not given. `damaged`: altered, cut off, or moved from another place. */
export class SealError extends Error {
  override readonly name = 'SealError';
  readonly code: 'unknown_key' | 'damaged';

  constructor(code: 'unknown_key' | 'damaged') {
    super(code === 'unknown_key' ? 'Sealed under a key that is not given' : 'The sealed value is damaged');
    this.code = code;
  }
}

export type KeysResult =
  | { readonly ok: true; readonly keys: readonly KeyObject[] }
  | { readonly ok: false; readonly problem: string };

/**
 * Reads keys of 32 bytes, in base64 or 64 hex digits, with commas between them. Key objects show nothing of themselves
 * when they are printed. The problem shows no part of a key.
 */
export function readKeys(text: string): KeysResult {
  const parts = text.split(',').map((part) => part.trim());
  const keys = parts.flatMap((part) => readKey(part) ?? []);
  if (keys.length === parts.length && keys.length <= MAX_KEYS) return { ok: true, keys };
  const which = parts.length === 1 ? '' : `, or at most ${MAX_KEYS} of them with commas between, the new one first`;
  return {
    ok: false,
    problem: `expected 32 random bytes as base64 or as 64 hex digits${which}; make one with: openssl rand -base64 32`,
  };
}

function readKey(text: string): KeyObject | null {
  if (/^[0-9a-f]{64}$/i.test(text)) return createSecretKey(Buffer.from(text, 'hex'));
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === KEY_BYTES ? createSecretKey(bytes) : null;
}

/** AES-256-GCM. What is sealed: version, key id, nonce, tag, and the text. At least one key. */
export function createSealer(keys: readonly KeyObject[]): Sealer {
  const [first] = keys;
  if (first === undefined) throw new TypeError('A sealer without a key');
  const byId = new Map([...keys].reverse().map((key) => [keyId(key).toString('hex'), key]));

  return {
    seal(text, context) {
      const head = Buffer.concat([Buffer.of(VERSION), keyId(first)]);
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', first, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(boundData(head, context));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([head, nonce, cipher.getAuthTag(), body]);
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed);
      if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION) throw new SealError('damaged');
      const head = bytes.subarray(0, 1 + KEY_ID_BYTES);
      const key = byId.get(head.subarray(1).toString('hex'));
      if (key === undefined) throw new SealError('unknown_key');
      const nonce = bytes.subarray(head.length, head.length + NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(boundData(head, context));
      decipher.setAuthTag(bytes.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES));
      try {
        const text = Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), decipher.final()]).toString('utf8');
        return { text, isCurrent: key === first };
      } catch {
        throw new SealError('damaged');
      }
    },
  };
}

/** Which key it was, without a hint at what it is. */
const keyId = (key: KeyObject): Buffer =>
  createHash('sha256').update('syncline key id').update(key.export()).digest().subarray(0, KEY_ID_BYTES);

/** JSON, so that no two places read the same. */
const boundData = (head: Buffer, { name, purpose }: SealContext): Buffer =>
  Buffer.from(JSON.stringify(['syncline', head.toString('hex'), purpose, name]));
