import type { Counters } from './counters.ts';
import { createSigner, type Delivery, type Message } from './delivery.ts';
import { planDelivery } from './delivery-plan.ts';
import type { Change } from './ledger.ts';
import { createPoster, type PostAnswer } from './post.ts';
import type { Random } from './random.ts';
import type { Settings } from './settings.ts';

/**
 * Delivers events to one receiver as Standard Webhooks, at least once, without promise of order. A delivery keeps its
 * `webhook-id` over all attempts; each attempt is stamped and signed anew. Retries back off exponentially with full
 * jitter, and end after `webhookMaxAttempts`.
 */
export type Sender = {
  url(): URL | null;
  /** Changes the receiver; null forgets what is pending. */
  setUrl(url: URL | null): void;
  /** Takes a change on, with the faults that the present settings draw for it. Forgets it when there is no receiver. */
  announce(change: Change): void;
  /** Deliveries that are not finished: waiting, held back, or under way. */
  pending(): number;
  /** False when so many wait that the source should rest. */
  hasRoom(): boolean;
  /** Lets go what is held back; ends when nothing is pending, or when `signal` fires. */
  drain(signal: AbortSignal): Promise<void>;
  /** Forgets what is pending, and closes the connections. */
  close(): void;
};

export type SenderDeps = {
  /** `whsec_` and base64. */
  readonly secret: string;
  readonly nowMs: () => number;
  /** What is sent of a change; null when nothing is. `isFalse`: with content that never was, which would win over every true one. */
  readonly messageOf: (change: Change, isFalse: boolean) => Message | null;
  readonly random: Random;
  readonly counters: Counters;
  readonly settings: () => Settings;
};

type Waiting = { readonly delivery: Delivery; readonly timer: NodeJS.Timeout; behind: number };

const MAX_PENDING = 10_000;
const ROOMY_PENDING = 2_000;
const MAX_HELD_MS = 2_000;
const MAX_BACKOFF_MS = 10_000;
const ID_LENGTH = 20;

export function createSender(deps: SenderDeps): Sender {
  const { random, counters, settings, messageOf } = deps;
  const sign = createSigner(deps.secret);
  const poster = createPoster();
  const counts = counters.webhooks;
  const ready: Delivery[] = [];
  /** Until their time comes, or until enough later ones went out. */
  const waiting = new Set<Waiting>();
  const idleListeners = new Set<() => void>();
  let url: URL | null = null;
  let underWay = 0;

  const pending = () => ready.length + waiting.size + underWay;
  const makeReady = (entry: Waiting) => {
    clearTimeout(entry.timer);
    if (waiting.delete(entry)) ready.push(entry.delivery);
  };
  const wait = (delivery: Delivery, ms: number, behind = Number.POSITIVE_INFINITY) => {
    const timer = setTimeout(() => {
      makeReady(entry);
      pump();
    }, ms);
    const entry: Waiting = { delivery, timer, behind };
    waiting.add(entry);
  };
  const forgetAll = () => {
    ready.length = 0;
    for (const entry of waiting) clearTimeout(entry.timer);
    waiting.clear();
  };

  const finish = (delivery: Delivery, answer: PostAnswer) => {
    const isAccepted = answer.kind === 'answered' && answer.status >= 200 && answer.status < 300;
    if (delivery.mark !== 'real') {
      if (isAccepted) counts.wronglyAccepted++;
      return;
    }
    if (isAccepted) {
      counts.delivered++;
      return;
    }
    counts.failedAttempts++;
    if (url === null || delivery.attempts >= settings().webhookMaxAttempts) {
      counts.gaveUp++;
      return;
    }
    const backoffMs = Math.min(MAX_BACKOFF_MS, settings().webhookBackoffMs * 2 ** (delivery.attempts - 1));
    const askedMs = answer.kind === 'answered' ? (answer.retryAfterMs ?? 0) : 0;
    wait(delivery, Math.max(askedMs, random.next() * backoffMs));
  };
  const attempt = async (delivery: Delivery, to: URL) => {
    underWay++;
    delivery.attempts++;
    counts.attempts++;
    const headers = { ...delivery.message.headers, ...sign(delivery, deps.nowMs()) };
    const answer = await poster.post(to, headers, delivery.message.body, settings().webhookTimeoutMs);
    underWay--;
    finish(delivery, answer);
    pump();
  };
  /** Starts what may start, and tells the listeners when nothing is left. */
  const pump = () => {
    while (url !== null && underWay < settings().webhookConcurrency) {
      const delivery = ready.shift();
      if (delivery === undefined) break;
      for (const entry of waiting) if (--entry.behind <= 0) makeReady(entry);
      void attempt(delivery, url);
    }
    if (pending() === 0) for (const tell of idleListeners) tell();
  };

  const newDelivery = (mark: Delivery['mark'], message: Message): Delivery => ({
    id: `msg_${random.text(ID_LENGTH)}`,
    message,
    mark,
    attempts: 0,
  });
  const dispatch = (change: Change, message: Message) => {
    const plan = planDelivery(settings(), random);
    const delivery = newDelivery('real', message);
    const falseMessage = plan.isForgedToo || plan.isStaleToo ? messageOf(change, true) : null;
    switch (plan.main.kind) {
      case 'lost':
        counts.lost++;
        break;
      case 'sent':
        ready.push(delivery);
        break;
      case 'delayed':
        counts.delayed++;
        wait(delivery, plan.main.ms);
        break;
      case 'held':
        counts.reordered++;
        wait(delivery, MAX_HELD_MS, plan.main.behind);
        break;
    }
    if (plan.duplicateAfterMs !== null) {
      counts.duplicated++;
      wait({ ...delivery }, plan.duplicateAfterMs);
    }
    if (plan.isForgedToo && falseMessage !== null) {
      counts.forged++;
      ready.push(newDelivery('forged', falseMessage));
    }
    if (plan.isStaleToo && falseMessage !== null) {
      counts.stale++;
      ready.push(newDelivery('stale', falseMessage));
    }
  };

  return {
    url: () => url,
    setUrl(next) {
      url = next;
      if (next === null) forgetAll();
      pump();
    },
    announce(change) {
      if (url === null) return;
      const message = messageOf(change, false);
      if (message === null) return;
      counts.events++;
      if (pending() >= MAX_PENDING) counts.overflowed++;
      else dispatch(change, message);
      pump();
    },
    pending,
    hasRoom: () => pending() < ROOMY_PENDING,
    drain(signal) {
      for (const entry of waiting) if (Number.isFinite(entry.behind)) makeReady(entry);
      pump();
      if (pending() === 0 || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const end = () => {
          idleListeners.delete(end);
          signal.removeEventListener('abort', end);
          resolve();
        };
        idleListeners.add(end);
        signal.addEventListener('abort', end, { once: true });
      });
    },
    close() {
      url = null;
      forgetAll();
      poster.close();
    },
  };
}
