import type { Test } from 'tap';
import { type FakeApi, sendJson, sendText, startFakeApi } from '../helpers/fake-api.ts';

export type StripeObject = { readonly id: string; readonly object: string; readonly created: number } & Readonly<
  Record<string, unknown>
>;

/** A fake Stripe account. What `put` stored last is the truth that rows are compared with. */
export type FakeStripe = {
  readonly api: FakeApi;
  put(object: StripeObject): void;
  /** A deleted object leaves the lists, and still answers by its id. */
  remove(id: string): void;
  clear(): void;
};

const SMALL_PAGE = 2;
const PATHS: ReadonlyMap<string, string> = new Map([
  ['customers', 'customer'],
  ['products', 'product'],
  ['subscriptions', 'subscription'],
]);

export async function startFakeStripe(t: Test): Promise<FakeStripe> {
  const live = new Map<string, StripeObject>();
  const deleted = new Map<string, { id: string; object: string; deleted: true }>();
  const api = await startFakeApi(t, (response, request) => {
    const url = new URL(request.url, 'http://fake');
    const [, version, path = '', id] = url.pathname.split('/');
    const kind = PATHS.get(path);
    if (version !== 'v1' || kind === undefined) return sendText(response, 404, '{}');
    if (id !== undefined) {
      const found = live.get(id) ?? deleted.get(id);
      return found?.object === kind ? sendJson(response, found) : sendText(response, 404, '{"error":{}}');
    }
    const all = [...live.values()]
      .filter(({ object, status }) => object === kind && isListed(status, url.searchParams.get('status')))
      .sort((left, right) => right.created - left.created || (left.id < right.id ? 1 : -1));
    const after = url.searchParams.get('starting_after');
    const start = after === null ? 0 : all.findIndex((one) => one.id === after) + 1;
    if (after !== null && start === 0) return sendText(response, 400, '{"error":{"code":"resource_missing"}}');
    const end = start + SMALL_PAGE;
    sendJson(response, { object: 'list', url: url.pathname, has_more: end < all.length, data: all.slice(start, end) });
  });
  return {
    api,
    put(object) {
      deleted.delete(object.id);
      live.set(object.id, object);
    },
    remove(id) {
      const object = live.get(id)?.object ?? 'customer';
      live.delete(id);
      deleted.set(id, { id, object, deleted: true });
    },
    clear() {
      live.clear();
      deleted.clear();
    },
  };
}

/** Lists of subscriptions leave out cancelled ones unless asked for all. */
const isListed = (status: unknown, asked: string | null): boolean => asked === 'all' || status !== 'canceled';

export const aCustomer = (id: string, rest: Readonly<Record<string, unknown>> = {}): StripeObject => ({
  id,
  object: 'customer',
  email: `${id}@example.com`,
  name: `Customer ${id}`,
  phone: null,
  description: null,
  balance: 0,
  currency: 'usd',
  delinquent: false,
  livemode: false,
  metadata: {},
  created: 1_767_225_600,
  ...rest,
});

export const aProduct = (id: string, rest: Readonly<Record<string, unknown>> = {}): StripeObject => ({
  id,
  object: 'product',
  name: `Product ${id}`,
  active: true,
  description: null,
  default_price: null,
  metadata: { shelf: '7' },
  created: 1_767_225_600,
  updated: 1_767_225_600,
  ...rest,
});

export const aSubscription = (id: string, rest: Readonly<Record<string, unknown>> = {}): StripeObject => ({
  id,
  object: 'subscription',
  customer: 'cus_1',
  status: 'active',
  items: { object: 'list', data: [{ id: 'si_1', price: { id: 'price_1' }, quantity: 2 }] },
  currency: 'usd',
  cancel_at_period_end: false,
  metadata: {},
  created: 1_767_225_600,
  start_date: 1_767_225_600,
  canceled_at: null,
  ended_at: null,
  ...rest,
});
