import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type Counters, createCounters } from './counters.ts';
import type { Message } from './delivery.ts';
import { createIdempotencyStore } from './idempotency.ts';
import { type Change, type Commit, createLedger, type Ledger, type RecordForm } from './ledger.ts';
import { listen } from './listen.ts';
import type { Dialect } from './operation.ts';
import { createRandom } from './random.ts';
import { createSender } from './sender.ts';
import { createListener, type OwnRoutes } from './serve.ts';
import { INITIAL_SETTINGS, type Settings, type SettingsPatch } from './settings.ts';
import { createSourceClock, type SourceClock } from './source-clock.ts';
import { wait } from './wait.ts';
import { createWriteCounts, type WriteCounts } from './write-counts.ts';

export type HostileSourceOptions = {
  /** The same seed draws the same faults for the same requests. */
  readonly seed: number;
  /** Every request must carry it: `Authorization: Bearer <token>`. */
  readonly token: string;
  /** Of the webhooks, which are signed as Standard Webhooks say: `whsec_` and base64. */
  readonly webhookSecret: string;
  /** Coarseness of the source's clock. Default 1,000. */
  readonly tickMs?: number;
  readonly nowMs: () => number;
  readonly settings?: SettingsPatch;
  /** Header that carries idempotency keys, or that of each kind of records by its name. Default `idempotency-key`. */
  readonly keyHeader?: string | ((resource: string) => string);
  /** Told of each change as it becomes visible. */
  readonly onChange?: (change: Change) => void;
  /**
   * What a webhook says of a change; null where the source sends none. `isFalse`: with content that never was and that would
   * win over every true one. Default: `{ type: 'customers.updated', timestamp, data }`, of a deletion with the id only.
   */
  readonly messageOf?: (change: Change, isFalse: boolean) => Message | null;
  /** Answers requests to paths that begin with `/_`. They have no faults. */
  readonly ownRoutes?: OwnRoutes;
};

/** A source that does everything wrong that real ones do, on real HTTP. */
export type HostileSource = {
  readonly clock: SourceClock;
  readonly counters: Counters;
  /** Adds a kind of records; `dialectOf` says how it is spoken of over HTTP. */
  add<Record extends Draft, Draft>(
    form: RecordForm<Record, Draft>,
    dialectOf: (ledger: Ledger<Record, Draft>) => Dialect,
  ): Ledger<Record, Draft>;
  /** Listens on 127.0.0.1 only; port 0 takes a free one. @returns the port. */
  start(port?: number): Promise<number>;
  settings(): Settings;
  set(patch: SettingsPatch): void;
  webhookUrl(): URL | null;
  /** Where deliveries go from now on; null ends them. */
  setWebhookUrl(url: URL | null): void;
  pendingDeliveries(): number;
  /** False when so many deliveries wait that the source should rest. */
  hasRoom(): boolean;
  /** Makes a prepared change visible: at once, or later where `lateCommit` draws it. `drain` waits for it. */
  commit(commit: Commit): void;
  /** Lets go what is held back, and what is still to be stamped after a write; ends when nothing waits, or after a minute. */
  drain(): Promise<void>;
  writeCounts(): WriteCounts;
  /** Ends all traffic, finished or not. Safe to repeat. */
  close(): Promise<void>;
};

const DEFAULT_TICK_MS = 1_000;
const DEFAULT_KEY_HEADER = 'idempotency-key';
const MAX_DRAIN_MS = 60_000;

export function createHostileSource(options: HostileSourceOptions): HostileSource {
  const { seed, token, tickMs = DEFAULT_TICK_MS, nowMs } = options;
  const counters = createCounters();
  const clock = createSourceClock({ nowMs, tickMs });
  const closing = new AbortController();
  // As many wait for it as requests are held.
  setMaxListeners(0, closing.signal);
  let current: Settings = { ...INITIAL_SETTINGS, ...options.settings };
  const settings = () => current;
  const sender = createSender({
    secret: options.webhookSecret,
    nowMs: clock.nowMs,
    random: createRandom(seed, 'webhooks'),
    counters,
    settings,
    messageOf: options.messageOf ?? plainMessage,
  });
  const announce = (change: Change) => {
    options.onChange?.(change);
    sender.announce(change);
  };
  const { keyHeader = DEFAULT_KEY_HEADER } = options;
  const dialects: Dialect[] = [];
  const afterWrites = new Map<string, (id: string) => Promise<void>>();
  const underWay = new Set<Promise<void>>();
  const writeCounts = createWriteCounts();
  const echoes = createRandom(seed, 'echoes');
  const late = createRandom(seed, 'late commits');
  const waitFor = (work: Promise<void>) => {
    underWay.add(work);
    void work.finally(() => underWay.delete(work));
  };

  /** What follows a write at the source: more events of it, and a second stamp. */
  const follow = async <Record extends Draft, Draft>(ledger: Ledger<Record, Draft>, id: string): Promise<void> => {
    const { writeEcho, writeMaxEchoes, writeTouch, writeTouchMaxMs } = current;
    const later = () => wait(echoes.whole(0, writeTouchMaxMs), closing.signal);
    const count = echoes.chance(writeEcho) ? echoes.whole(1, writeMaxEchoes) : 0;
    if (echoes.chance(writeTouch)) {
      await later();
      const commit = closing.signal.aborted ? null : ledger.prepareUpdate(id, (record) => record);
      if (commit !== null) counters.writes.touched++;
      commit?.();
    }
    for (let echo = 0; echo < count && !closing.signal.aborted; echo++) {
      await later();
      counters.writes.echoes++;
      ledger.announceAgain(id);
    }
  };

  const server = createServer(
    createListener({
      random: createRandom(seed, 'api'),
      counters,
      settings,
      nowMs: clock.nowMs,
      isAuthorized: (request: IncomingMessage) => request.headers.authorization === `Bearer ${token}`,
      ownRoutes: options.ownRoutes ?? (async () => false),
      operationOf(request) {
        for (const dialect of dialects) {
          const operation = dialect(request);
          if (operation !== null) return operation;
        }
        return null;
      },
      keys: createIdempotencyStore({ nowMs: clock.nowMs, ttlMs: () => current.idempotencyTtlMs }),
      keyHeaderOf: (resource) => (typeof keyHeader === 'string' ? keyHeader : keyHeader(resource)).toLowerCase(),
      writeCounts,
      onWritten(resource, id) {
        waitFor(afterWrites.get(resource)?.(id) ?? Promise.resolve());
      },
      closing: closing.signal,
    }),
  );

  return {
    clock,
    counters,
    add(form, dialectOf) {
      const ledger = createLedger(form, { clock, counters, announce });
      dialects.push(dialectOf(ledger));
      afterWrites.set(form.name, (id) => follow(ledger, id));
      return ledger;
    },
    start: (port = 0) => listen(server, port),
    settings,
    set(patch) {
      current = { ...current, ...patch };
    },
    webhookUrl: sender.url,
    setWebhookUrl: sender.setUrl,
    pendingDeliveries: sender.pending,
    hasRoom: sender.hasRoom,
    commit(commit) {
      if (!late.chance(current.lateCommit)) return commit();
      counters.changes.committedLate++;
      waitFor(wait(late.whole(0, current.lateCommitMaxMs), closing.signal).then(commit));
    },
    async drain() {
      const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(MAX_DRAIN_MS)]);
      await Promise.all(underWay);
      await sender.drain(signal);
    },
    writeCounts: writeCounts.read,
    async close() {
      closing.abort();
      sender.close();
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

const DAY_MS = 24 * 60 * 60 * 1_000;

function plainMessage({ resource, verb, id, record, atMs }: Change, isFalse: boolean): Message {
  const timestamp = new Date(isFalse ? atMs + DAY_MS : atMs).toISOString();
  const data = verb === 'deleted' && !isFalse ? { id, deleted: true } : record;
  return { body: JSON.stringify({ type: `${resource}.${verb}`, timestamp, data }) };
}
