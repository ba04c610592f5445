import { createHmac } from 'node:crypto';

/** One message to the receiver. It keeps its id over all attempts at it. */
export type Delivery = {
  readonly id: string;
  readonly message: Message;
  readonly mark: 'real' | 'forged' | 'stale';
  /** Attempts made. */
  attempts: number;
};

/** What is sent of an event. */
export type Message = { readonly body: string; readonly headers?: Readonly<Record<string, string>> };

export type SignedHeaders = Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>>;

const STALE_BY_MS = 60 * 60 * 1_000;
const MS_PER_S = 1_000;
/** A key like any other, but not the source's. */
const FORGER_KEY = Buffer.alloc(32);

/**
 * Signs as Standard Webhooks say, for an attempt at `nowMs`, as rightly as the delivery's mark says.
 * `secret`: `whsec_` and base64.
 */
export function createSigner(secret: string): (delivery: Delivery, nowMs: number) => SignedHeaders {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return ({ id, message, mark }, nowMs) => {
    const atS = String(Math.floor((nowMs - (mark === 'stale' ? STALE_BY_MS : 0)) / MS_PER_S));
    const digest = createHmac('sha256', mark === 'forged' ? FORGER_KEY : key)
      .update(`${id}.${atS}.${message.body}`)
      .digest('base64');
    return { 'webhook-id': id, 'webhook-timestamp': atS, 'webhook-signature': `v1,${digest}` };
  };
}
