import { createServer } from 'node:http';
import { createApi } from './api.ts';
import { type ControlAnswer, type ControlState, parseControl } from './control.ts';
import { createCounters } from './counters.ts';
import { createGenerator } from './generator.ts';
import { listen } from './listen.ts';
import { createRandom } from './random.ts';
import { createSender } from './sender.ts';
import { INITIAL_SETTINGS, type Settings, type SettingsPatch } from './settings.ts';
import { createShop, type RecordCounts, seedShop } from './shop.ts';
import { createShopClock } from './shop-clock.ts';

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

/** A shop with an API, webhooks and a life of its own, on real HTTP. */
export type Simulator = {
  readonly port: number;
  /** Takes what `ControlRequest` describes, as parsed JSON that nobody has checked. */
  control(request: unknown): Promise<ControlAnswer>;
  state(): ControlState;
  /** Ends all traffic, finished or not. Safe to repeat. */
  close(): Promise<void>;
};

const MAX_DRAIN_MS = 60_000;

export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { seed, records, webhookSecret, token } = options;
  const counters = createCounters();
  const clock = createShopClock(options);
  const closing = new AbortController();
  let settings: Settings = { ...INITIAL_SETTINGS, ...options.settings };

  const deps = { clock, counters, settings: () => settings };
  const sender = createSender({ ...deps, secret: webhookSecret, random: createRandom(seed, 'webhooks') });
  const shop = createShop({ clock, counters, announce: sender.announce });
  seedShop(shop, { clock, random: createRandom(seed, 'records'), counts: records });
  const generator = createGenerator({
    ...deps,
    shop,
    random: createRandom(seed, 'changes'),
    hasRoom: sender.hasRoom,
  });

  const state = (): ControlState => ({
    seed,
    generator: generator.state(),
    webhookUrl: sender.url()?.href ?? null,
    settings,
    counters: structuredClone(counters),
    pendingDeliveries: sender.pending(),
    records: { customers: shop.customers.records.size(), orders: shop.orders.records.size() },
  });
  const busy: ControlAnswer = { ok: false, problem: `the generator is at work; pause it first` };
  const control = async (unchecked: unknown): Promise<ControlAnswer> => {
    const parsed = parseControl(unchecked);
    if (!parsed.ok) return parsed;
    const { request } = parsed;
    settings = { ...settings, ...request.settings };
    if (request.webhookUrl !== undefined) sender.setUrl(request.webhookUrl);
    if (request.generator === 'pause') await generator.pause();
    if (request.generator === 'run' && !generator.run()) return busy;
    if (request.drive !== undefined && !(await generator.drive(request.drive))) return busy;
    if (request.drain) await sender.drain(AbortSignal.any([closing.signal, AbortSignal.timeout(MAX_DRAIN_MS)]));
    return { ok: true, state: state() };
  };

  const random = createRandom(seed, 'api');
  const server = createServer(createApi({ ...deps, shop, random, token, readState: state, control }));
  const port = await listen(server, options.port);
  return {
    port,
    control,
    state,
    async close() {
      closing.abort();
      sender.close();
      await generator.pause();
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
