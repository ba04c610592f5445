import type { Instant } from './instant.ts';

/**
 * States of a delivery. `received` is the only one that work is done on: a worker claims it with a row lock inside the
 * transaction that applies it, so a crash leaves it untouched and there is no lease to expire.
 */
export const INBOX_TRANSITIONS = {
  received: { apply: 'applied', skip: 'skipped', defer: 'received', give_up: 'dead' },
  dead: { replay: 'received', redeliver: 'received' },
  applied: { replay: 'received' },
  skipped: {},
} as const;

/** A verified delivery on its way into the inbox. */
export type NewDelivery = {
  readonly integration: string;
  readonly dedupeKey: string | null;
  readonly deliveryId: string | null;
  /** Those headers that say what the body is, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly correlationId: string;
  readonly body: Buffer;
};

/** A delivery that this transaction holds. */
export type ClaimedDelivery = {
  readonly id: number;
  readonly integration: string;
  readonly deliveryId: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly correlationId: string;
  readonly body: Buffer | null;
  readonly attempt: number;
  readonly receivedAt: Instant;
};

/** What became of a claimed delivery. */
export type DeliveryOutcome =
  | {
      readonly id: number;
      readonly to: 'applied' | 'skipped' | 'dead';
      readonly eventType: string | null;
      readonly outcome: string;
    }
  | {
      readonly id: number;
      readonly to: 'received';
      readonly waitMs: number;
      readonly outcome: string;
      /** It counts as an attempt; waiting for a table that is missing does not. */
      readonly isFailure: boolean;
    };
