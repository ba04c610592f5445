/** Record types exactly as the shop's API and webhooks show them. Instants are ISO 8601 in UTC. */
export type Customer = {
  readonly id: string;
  readonly name: string;
  /** As people type it in the shop: mixed case, sometimes with spaces around it. What the API writes is trimmed and in lower case. */
  readonly email: string;
  /** Follows from the email. */
  readonly email_domain: string;
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

/** A record before the shop adds what it sets itself. */
export type Unstamped<Record> = Omit<Record, 'email_domain' | 'created_at' | 'updated_at'>;
