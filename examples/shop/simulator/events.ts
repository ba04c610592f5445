import { type Change, formatInstant, type Message } from 'syncline/testing';

export type EventType = `${'customer' | 'order'}.${'created' | 'updated' | 'deleted'}`;

/** A webhook's body. A deletion carries only the id and a stamp later than the record's last one. */
export type ShopEvent = {
  readonly type: EventType;
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>>;
};

const DAY_MS = 24 * 60 * 60 * 1_000;

/** A false one has content that never was, with a stamp that would win over every true one: a reader that takes it keeps showing it. */
export function messageOf(change: Change, isFalse: boolean): Message {
  const { resource, verb, id, at, atMs } = change;
  const data = verb === 'deleted' ? { id, deleted: true, updated_at: formatInstant(at) } : Object(change.record);
  const event: ShopEvent = {
    type: `${resource === 'customers' ? 'customer' : 'order'}.${verb}`,
    timestamp: new Date(atMs).toISOString(),
    data: isFalse ? { ...data, note: 'FORGED', updated_at: new Date(atMs + DAY_MS).toISOString() } : data,
  };
  return { body: JSON.stringify(event) };
}
