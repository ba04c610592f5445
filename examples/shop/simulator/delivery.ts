import { Webhook } from 'standardwebhooks';
import type { ShopEvent } from './records.ts';

/** One message to the receiver. It keeps its id over all attempts at it. */
export type Delivery = {
  readonly id: string;
  readonly body: string;
  readonly mark: 'real' | 'forged' | 'stale';
  /** Attempts made. */
  attempts: number;
};

export type SignedHeaders = Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>>;

const STALE_BY_MS = 60 * 60 * 1_000;
const DAY_MS = 24 * 60 * 60 * 1_000;
/** Base64 of 32 zero bytes: a key like any other, but not the shop's. */
const FORGER_SECRET = `whsec_${Buffer.alloc(32).toString('base64')}`;

/** @returns a function that signs a delivery for an attempt at `nowMs`, as rightly as its mark says. */
export function createSigner(secret: string): (delivery: Delivery, nowMs: number) => SignedHeaders {
  const shop = new Webhook(secret);
  const forger = new Webhook(FORGER_SECRET);
  return (delivery, nowMs) => {
    const at = new Date(nowMs - (delivery.mark === 'stale' ? STALE_BY_MS : 0));
    return {
      'webhook-id': delivery.id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': (delivery.mark === 'forged' ? forger : shop).sign(delivery.id, at, delivery.body),
    };
  };
}

/** Content that never was, with a stamp that would win over every true one: a reader that takes it keeps showing it. */
export const falsify = (event: ShopEvent): ShopEvent => ({
  ...event,
  data: { ...event.data, note: 'FORGED', updated_at: new Date(Date.parse(event.timestamp) + DAY_MS).toISOString() },
});
