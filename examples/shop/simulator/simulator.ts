import { createHostileSource, createRandom, readJson, type SettingsPatch, sendAnswer } from 'syncline/testing';
import { type ControlAnswer, type ControlState, parseControl } from './control.ts';
import { messageOf } from './events.ts';
import { createGenerator } from './generator.ts';
import { addShop, editCustomer, type RecordCounts, seedShop } from './shop.ts';
import { streamTruth } from './truth.ts';
import { customerWrites } from './write-rules.ts';

export type SimulatorOptions = {
  /** 0 takes a free one. It listens on 127.0.0.1 only. */
  readonly port: number;
  readonly seed: number;
  readonly token: string;
  /** Of the webhooks: `whsec_` and base64. */
  readonly webhookSecret: string;
  readonly records: RecordCounts;
  /** Coarseness of `updated_at`. */
  readonly tickMs: number;
  readonly nowMs: () => number;
  readonly settings?: SettingsPatch;
};

/** A shop with an API, webhooks and a life of its own, on real HTTP: a hostile source with customers and orders. */
export type Simulator = {
  readonly port: number;
  /** Takes what `ControlRequest` describes, as parsed JSON that nobody has checked. */
  control(request: unknown): Promise<ControlAnswer>;
  state(): ControlState;
  /** Ends all traffic, finished or not. Safe to repeat. */
  close(): Promise<void>;
};

const MAX_CONTROL_BYTES = 64 * 1_024;

export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { seed, records } = options;
  const source = createHostileSource({
    ...options,
    messageOf,
    async ownRoutes(request, response, { pathname }) {
      if (pathname === '/_truth/customers') await streamTruth(shop.customers.records, response);
      else if (pathname === '/_truth/orders') await streamTruth(shop.orders.records, response);
      else if (pathname === '/_writes') sendAnswer(response, { status: 200, body: source.writeCounts() });
      else if (pathname !== '/_control') return false;
      else if (request.method === 'GET') sendAnswer(response, { status: 200, body: state() });
      else if (request.method !== 'POST') sendAnswer(response, { status: 405, body: { error: 'method_not_allowed' } });
      else {
        const body = await readJson(request, MAX_CONTROL_BYTES);
        const answer = body.ok ? await control(body.value) : body;
        sendAnswer(response, 'state' in answer ? { status: 200, body: answer.state } : { status: 400, body: answer });
      }
      return true;
    },
  });
  const rules = customerWrites(createRandom(seed, 'made by writes'));
  const shop = addShop(source, rules);
  seedShop(shop, { source, random: createRandom(seed, 'records'), counts: records });
  const generator = createGenerator({ source, shop, random: createRandom(seed, 'changes') });

  const state = (): ControlState => ({
    seed,
    generator: generator.state(),
    webhookUrl: source.webhookUrl()?.href ?? null,
    settings: source.settings(),
    counters: structuredClone(source.counters),
    pendingDeliveries: source.pendingDeliveries(),
    records: { customers: shop.customers.records.size(), orders: shop.orders.records.size() },
  });
  const busy: ControlAnswer = { ok: false, problem: `the generator is at work; pause it first` };
  const control = async (unchecked: unknown): Promise<ControlAnswer> => {
    const parsed = parseControl(unchecked);
    if (!parsed.ok) return parsed;
    const { request } = parsed;
    source.set(request.settings ?? {});
    if (request.webhookUrl !== undefined) source.setWebhookUrl(request.webhookUrl);
    if (request.generator === 'pause') await generator.pause();
    if (request.generator === 'run' && !generator.run()) return busy;
    for (const edit of request.edits ?? []) editCustomer(shop, rules, edit);
    if (request.drive !== undefined && !(await generator.drive(request.drive))) return busy;
    if (request.drain) await source.drain();
    return { ok: true, state: state() };
  };

  const port = await source.start(options.port);
  return {
    port,
    control,
    state,
    async close() {
      await source.close();
      await generator.pause();
    },
  };
}
