/** Record types exactly as the shop's API and webhooks show them. Instants are ISO 8601 in UTC. */
export type Customer = {
  readonly id: string;
  readonly name: string;
  /** As people type it: mixed case, sometimes with spaces around it. */
  readonly email: string;
  readonly status: 'active' | 'inactive' | 'trial';
  readonly amount_cents: number;
  readonly metadata: { readonly tags: readonly string[] };
  readonly address: { readonly line1: string; readonly line2: string | null };
  readonly note: string | null;
  readonly created_at: string;
  readonly updated_at: string;
};

export type Order = {
  readonly id: string;
  /** May name a customer that is gone, or one that a reader has not seen yet. */
  readonly customer_id: string;
  readonly number: string;
  readonly status: 'open' | 'paid' | 'shipped' | 'cancelled';
  readonly total_cents: number;
  readonly currency: string;
  readonly items: readonly { readonly sku: string; readonly quantity: number }[];
  readonly placed_at: string;
  readonly shipped_at: string | null;
  readonly created_at: string;
  readonly updated_at: string;
};

/** What the shop itself needs of any record. */
export type Stamped = { readonly id: string; readonly created_at: string; readonly updated_at: string };

export type EventType = `${'customer' | 'order'}.${'created' | 'updated' | 'deleted'}`;

/** A webhook's body. A deletion carries only the id and a stamp later than the record's last one. */
export type ShopEvent = {
  readonly type: EventType;
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>>;
};
