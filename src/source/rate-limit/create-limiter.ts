import { randomUUID } from 'node:crypto';
import type { Log } from '../../lib/log.ts';
import { SourceError } from '../error.ts';
import { createHold } from '../hold.ts';
import { MAX_WAIT_MS } from '../retry.ts';
import { createAccount } from './account.ts';
import type { Ask, Ended } from './budget.ts';
import { POLL_MS } from './budget.ts';
import type { RateLimit } from './definition.ts';
import type { Ledger } from './ledger.ts';
import type { Limiter, Permit } from './limiter.ts';
import { createQueue, type Waiting } from './queue.ts';
import { readLimits } from './read-limits.ts';
import type { Flight } from './state.ts';

export type LimiterOptions = {
  readonly sourceName: string;
  readonly ledger: Ledger;
  readonly limits: readonly RateLimit[];
  /** Whether limits that answers tell of are kept, too. */
  readonly learns: boolean;
  /** How long one attempt can be under way at most. */
  readonly attemptMs: number;
  /** Attempts of this process under way at the same time. */
  readonly maxInFlight: number;
  readonly nowMs: () => number;
  /** A clock that nobody sets, by which answers grow old. Only differences count. */
  readonly monotonicMs: () => number;
  /** Waits `ms`, or less when the signal fires; whether it then rejects or resolves does not matter. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly log: Log;
};

/** What has ended is written down with the next request for leave, or after this. */
const WRITE_AFTER_MS = 100;
const HELD_POLL_MS = 50;
/** A hold can be extended while it is waited for, but not for ever. */
const MAX_HOLD_ROUNDS = 10;
/** Ends that could not be written; the oldest are given up, and count until their deadline. */
const MAX_UNWRITTEN = 1_000;

/** A ledger that says nothing for so long is out of order, and nobody may wait on it without end. */
const LEDGER_TIMEOUT_MS = 30_000;
/** The same at the close, where nothing is lost: what is not written counts until its deadline. */
const LAST_WRITE_MS = 1_000;

/** `heardMs`: when, by the monotonic clock. */
type Heard = Ended & { readonly heardMs: number };

/** A reset counts from the answer on, which is told to the ledger a little later. */
const aged = (ended: Heard, nowMs: number): Ended => ({
  ...ended,
  observations: ended.observations.map((one) => ({
    ...one,
    resetMs: one.resetMs === null ? null : Math.max(0, one.resetMs - Math.max(0, nowMs - ended.heardMs)),
  })),
});

/**
 * A limiter for one source. One round at a time asks the ledger for everybody who waits and tells it all that has ended,
 * so that a process costs one transaction at a time, however many callers it has.
 */
export function createLimiter(options: LimiterOptions): Limiter {
  const { limits, learns, attemptMs, maxInFlight, nowMs, monotonicMs, sleep, log, sourceName } = options;
  const ledger = withTimeout(options.ledger);
  const hold = createHold(nowMs);
  const queue = createQueue();
  const process = randomUUID().slice(0, 8);
  const account = createAccount({ ledger, rules: { limits, attemptMs }, learns, process, nowMs, hold });
  let count = 0;
  let inFlight = 0;
  let ended: Heard[] = [];
  let isHoldNew = false;
  let isRunning = false;
  let isAskedAgain = false;
  let isClosed = false;
  let wake: AbortController | null = null;
  let writeTimer: NodeJS.Timeout | undefined;

  /** Runs rounds until nothing new has been asked for meanwhile. Never rejects. */
  async function run(): Promise<void> {
    if (isRunning) {
      isAskedAgain = true;
      return;
    }
    isRunning = true;
    wake?.abort();
    do {
      isAskedAgain = false;
      await round().catch((error: unknown) => queue.rejectAll(error));
    } while (isAskedAgain);
    isRunning = false;
  }

  async function round(): Promise<void> {
    await Promise.resolve(); // callers of the same moment share a round
    clearTimeout(writeTimer);
    writeTimer = undefined;
    const heldMs = hold.remainingMs();
    const asks = heldMs > 0 ? [] : queue.first(maxInFlight - inFlight);
    const waitMs = await serve(asks);
    // The hold may be news from another process, and callers may have come since.
    if (hold.remainingMs() > 0) return waitForHold();
    // It has ended while the ledger was told of something else.
    if (heldMs > 0) isAskedAgain = true;
    if (waitMs !== null) wakeAfter(Math.min(waitMs, POLL_MS));
  }

  /** @returns when to ask again for those who were refused; null when nobody was. */
  async function serve(asks: readonly Waiting[]): Promise<number | null> {
    const batch = { ended, asks, isHoldNew };
    ended = [];
    isHoldNew = false;
    const message = { ...batch, ended: batch.ended.map((one) => aged(one, monotonicMs())) };
    const answered = await account.ask(message).catch((error: unknown) => {
      ended = [...batch.ended, ...ended].slice(-MAX_UNWRITTEN);
      isHoldNew ||= batch.isHoldNew;
      if (asks.length > 0) throw error;
      // Written with the next round; until then what has ended counts as under way.
      log.warn({ source: sourceName }, 'the use of rate limits could not be written');
      return null;
    });
    if (answered === null) return null;
    let nextMs: number | null = null;
    for (const ask of asks) {
      const decision = answered.decisions.get(ask.id);
      // Held: mostly the hold itself says for how long, but it may be over by the time that it is looked at.
      if (decision === undefined) nextMs = Math.min(nextMs ?? HELD_POLL_MS, HELD_POLL_MS);
      else if (decision.kind === 'granted') grant(ask, decision.flight);
      else {
        const { waitMs, name } = decision;
        // Not later than now, also when the ledger's clock was set back.
        ask.refusedAtMs = Math.min(ask.refusedAtMs ?? answered.nowMs, answered.nowMs);
        const isTooLong = waitMs > MAX_WAIT_MS || answered.nowMs - ask.refusedAtMs >= MAX_WAIT_MS;
        if (isTooLong) queue.refuse(ask, `the rate limit \`${name}\` leaves no room`, waitMs);
        else nextMs = Math.min(nextMs ?? waitMs, waitMs);
      }
    }
    return nextMs;
  }

  function grant(ask: Waiting, flight: Flight): void {
    inFlight += 1;
    const permit = createPermit(ask.id, flight);
    if (!queue.grant(ask, permit)) permit.giveBack();
  }

  function createPermit(id: string, flight: Flight): Permit {
    let isOver = false;
    const end = (how: Pick<Ended, 'wasSent' | 'observations' | 'cost'>) => {
      if (isOver) return;
      isOver = true;
      inFlight -= 1;
      const isTold = how.observations.length > 0;
      if (account.isTracking() || isTold) ended.push({ id, flight, ...how, heardMs: monotonicMs() });
      if (queue.size() > 0) void run();
      else if (ended.length > 0) writeSoon();
    };
    return {
      finish(answer) {
        const told = answer !== null && learns ? readLimits(answer, nowMs()) : { observations: [], cost: null };
        end({ wasSent: true, ...told });
      },
      giveBack: () => end({ wasSent: false, observations: [], cost: null }),
    };
  }

  function waitForHold(): void {
    const heldMs = hold.remainingMs();
    for (const ask of queue.all()) {
      if (heldMs > MAX_WAIT_MS || ask.holds >= MAX_HOLD_ROUNDS) {
        queue.refuse(ask, 'the source asked us to wait', heldMs);
      } else ask.holds += 1;
    }
    if (queue.size() > 0) wakeAfter(heldMs);
  }

  function wakeAfter(ms: number): void {
    if (queue.size() === 0) return;
    wake?.abort();
    const own = new AbortController();
    wake = own;
    void sleep(ms, own.signal)
      .catch((error: unknown) => {
        if (!own.signal.aborted) queue.rejectAll(error);
      })
      .then(() => {
        if (!own.signal.aborted) return run();
        return undefined;
      });
  }

  function writeSoon(): void {
    if (isClosed) return;
    writeTimer ??= setTimeout(() => void run(), WRITE_AFTER_MS).unref();
  }

  return {
    acquire({ endpoint, lane, signal }) {
      count += 1;
      const ask: Ask = { id: `${process}.${count}`, endpoint, lane };
      const isFree = !isRunning && !isHoldNew && ended.length === 0 && queue.size() === 0 && inFlight < maxInFlight;
      const flight = isFree && !signal.aborted ? account.grantAtOnce(ask) : null;
      if (flight !== null) {
        inFlight += 1;
        return Promise.resolve(createPermit(ask.id, flight));
      }
      const leave = queue.add(ask, signal, () => {
        if (queue.size() === 0) wake?.abort();
      });
      void run();
      return leave;
    },
    hold(waitMs) {
      hold.extend(waitMs);
      isHoldNew = true;
      writeSoon();
    },
    rows: () => account.rows(),
    async close() {
      isClosed = true;
      wake?.abort();
      clearTimeout(writeTimer);
      queue.rejectAll(new SourceError('aborted', 'not sent, the client was closed'));
      if (ended.length > 0 || isHoldNew) await within(LAST_WRITE_MS, serve([])).catch(() => null);
    },
  };
}

const withTimeout = (ledger: Ledger): Ledger => ({
  update: (decide) => within(LEDGER_TIMEOUT_MS, ledger.update(decide)),
  read: () => within(LEDGER_TIMEOUT_MS, ledger.read()),
});

/** What is still under way then goes on, and is no longer waited for. Leave that it gives counts as used until its deadline. */
function within<T>(ms: number, running: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => {
      const message = 'not sent: whether the rate limits leave room could not be told in time';
      reject(new SourceError('rate_limited', message, { retryAfterMs: 0 }));
    };
    const timer = setTimeout(late, ms);
    running.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
