import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { z } from 'zod';
import { type SimulatorOptions, startSimulator } from '../../examples/shop/simulator/simulator.ts';
import { listen } from '../../src/testing/listen.ts';

export const TOKEN = 'canary-shop-token';
export const SECRET = `whsec_${Buffer.from('canary-shop-webhook-secret-0007').toString('base64')}`;

export const recordSchema = z.looseObject({ id: z.string(), created_at: z.string(), updated_at: z.string() });
export type AnyRecord = z.infer<typeof recordSchema>;
export const pageSchema = z.object({
  data: z.array(recordSchema),
  has_more: z.boolean(),
  next_cursor: z.string().nullable(),
});
export const eventSchema = z.object({
  type: z.string(),
  timestamp: z.iso.datetime(),
  data: z.looseObject({ id: z.string(), updated_at: z.string() }),
});

/** A simulator on a free port, without faults and with a small shop, closed with the test. */
export async function startShop(t: Test, options: Partial<SimulatorOptions> = {}) {
  const shop = await startSimulator({
    port: 0,
    seed: 7,
    token: TOKEN,
    webhookSecret: SECRET,
    records: { customers: 20, orders: 20 },
    tickMs: 1_000,
    nowMs: Date.now,
    settings: { changesPerSecond: 10_000 },
    ...options,
  });
  t.teardown(() => shop.close());
  const origin = `http://127.0.0.1:${shop.port}`;
  const get = (path: string, headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` }) =>
    fetch(`${origin}${path}`, { headers });
  /** Sends a control request that must be accepted. */
  const control = async (request: unknown) => {
    const answer = await shop.control(request);
    if (!answer.ok) throw new Error(answer.problem);
    return answer.state;
  };
  return {
    ...shop,
    origin,
    get,
    unchecked: shop.control,
    control,
    page: async (path: string) => pageSchema.parse(await (await get(path)).json()),
    truth: async (resource: 'customers' | 'orders') =>
      z.array(recordSchema).parse(await (await get(`/_truth/${resource}`)).json()),
    /** All pages of a list, from the first to the last. */
    async list(path: string): Promise<AnyRecord[]> {
      const records: AnyRecord[] = [];
      let next: string | null = null;
      do {
        const cursor: string = next === null ? '' : `&starting_after=${encodeURIComponent(next)}`;
        const page: z.infer<typeof pageSchema> = await this.page(`${path}${cursor}`);
        records.push(...page.data);
        next = page.has_more ? page.next_cursor : null;
      } while (next !== null);
      return records;
    },
  };
}

export type ReceivedDelivery = { readonly headers: Readonly<Record<string, string>>; readonly body: string };

/** A receiver that keeps what it gets and answers with the status that `answer` gives, 202 unless told. */
export async function startReceiver(
  t: Test,
  answer: (delivery: ReceivedDelivery, index: number) => number | Promise<number> = () => 202,
) {
  const received: ReceivedDelivery[] = [];
  const server = createServer(async (request, response) => {
    const headers = Object.fromEntries(
      Object.entries(request.headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
    );
    const delivery = { headers, body: await text(request) };
    const index = received.push(delivery) - 1;
    response.writeHead(await answer(delivery, index)).end();
  });
  const port = await listen(server, 0);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${port}/webhooks/shop`,
    received,
    events: () => received.map(({ body }) => eventSchema.parse(JSON.parse(body))),
    ids: () => received.map(({ headers }) => headers['webhook-id']),
  };
}
