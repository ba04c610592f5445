import type { JsonValue } from '../../src/model/json.ts';
import type { SavedRequest } from '../../src/model/push.ts';
import type { Sighting } from '../../src/source/client.ts';
import { SourceError } from '../../src/source/error.ts';
import { planOnce } from '../../src/sync/plan-pushes.ts';
import { pushOnce, resolveOnce } from '../../src/sync/push.ts';
import type { PushAnswer, PushSource, SendOptions } from '../../src/sync/push-answer.ts';
import type { PushDeps, TwoWayStream } from '../../src/sync/push-deps.ts';
import type { Stream } from '../../src/sync/stream.ts';
import { applySeen } from './apply-seen.ts';
import { isDue, isOpen } from './memory-outbox.ts';
import type { Write } from './source-writes.ts';
import type { Tables } from './tables.ts';
import { KEY_HEADER } from './two-way.ts';
import type { SimulationStore, SimulationTx, WorkerDeps } from './worker.ts';

const NEVER = new AbortController().signal;
const PLANNED_AT_ONCE = 2;

/** Plans captured edits. */
export async function runPlan(deps: WorkerDeps): Promise<never> {
  const push = pushDepsOf(deps);
  for (;;) {
    await deps.actor.idle(() => deps.tables.changes.rows.size > 0);
    await planOnce(push, PLANNED_AT_ONCE);
  }
}

/** Sends what is due. */
export async function runPush(deps: WorkerDeps): Promise<never> {
  const push = pushDepsOf(deps);
  for (let pass = 0; ; pass++) {
    await deps.actor.idle(() => hasDue(deps));
    const order = pass % 2 === 0 ? 'oldest' : 'newest';
    await pushOnce({ ...push, stream: twoWayOf(deps.stream()) }, deps.pushesAtOnce, NEVER, order);
  }
}

/** Finds out what became of writes that nobody knows about. */
export async function runResolve(deps: WorkerDeps): Promise<never> {
  const push = pushDepsOf({ ...deps, store: forgetting(deps) });
  for (;;) {
    await deps.actor.idle(() => hasUnknown(deps));
    await resolveOnce({ ...push, stream: twoWayOf(deps.stream()) }, deps.pushesAtOnce, NEVER);
  }
}

/** An answer that reached a worker which then lost its lease has been told to nobody: the write's outcome is unknown. */
function forgetting({ store, tables, writes }: WorkerDeps): SimulationStore {
  const watched = (tx: SimulationTx): SimulationTx => ({
    ...tx,
    async claimUnknown(limit, leaseMs) {
      const left = new Set<string>();
      for (const { id, leaseExpiresAt } of tables.pushes.rows.values()) if (leaseExpiresAt !== null) left.add(id);
      const claimed = await tx.claimUnknown(limit, leaseMs);
      for (const { id, tokenId } of claimed) if (tokenId !== null && left.has(id)) writes.forgetAnswer(tokenId);
      return claimed;
    },
  });
  return { transaction: (work) => store.transaction((tx) => work(watched(tx))) };
}

const isBlocked = ({ tables, clock }: WorkerDeps): boolean => {
  const { blockedUntil, pausedForAuth } = tables.progress.get();
  return pausedForAuth || (blockedUntil !== null && blockedUntil > clock.at());
};

function hasDue(deps: WorkerDeps): boolean {
  if (isBlocked(deps)) return false;
  for (const row of deps.tables.pushes.rows.values()) if (isDue(deps.tables, row, deps.clock.at())) return true;
  return false;
}

function hasUnknown(deps: WorkerDeps): boolean {
  if (isBlocked(deps)) return false;
  const now = deps.clock.at();
  for (const row of deps.tables.pushes.rows.values())
    if ((row.state === 'unknown' || row.state === 'calling') && isOpen(deps.tables, row, now)) return true;
  return false;
}

function twoWayOf(stream: Stream): TwoWayStream {
  const { twoWay } = stream;
  if (twoWay === null) throw new Error('A mirror pushes nothing');
  return { ...stream, twoWay };
}

const quiet = () => {};

/** What the flows of the way out work with. */
export function pushDepsOf(deps: WorkerDeps): PushDeps {
  const { actor, store, random, figures } = deps;
  return {
    stream: twoWayOf(deps.stream()),
    store,
    source: pushSourceOf(deps),
    apply: (tx, sightings) => applySeen(tx, deps, sightings, { repairs: false }),
    newId: deps.newId,
    random: random.next,
    log: { debug: quiet, info: quiet, warn: (_fields, message) => figures.count(`log ${message}`), error: quiet },
    wakePushes: quiet,
    wakeHints: quiet,
    crashPoint: (name) => actor.crashPoint(name),
  };
}

/** The simulated source as the push flow asks it. */
function pushSourceOf(deps: WorkerDeps): PushSource {
  const { actor, reads, writes, tables, rules } = deps;
  return {
    async send(request, { deadline, mayLeave, recordAt }): Promise<PushAnswer> {
      if (rules.checksDeadline && !(await mayLeave()))
        return { kind: 'later', code: 'aborted', words: 'not sent', waitMs: null, isLimit: false };
      const write = toWrite(tables, request, rules.checksDeadline ? deadline : Number.POSITIVE_INFINITY);
      try {
        const answer = await writes.send(actor, rules.send(write));
        const words = `${request.method} ${request.path}: ${answer.status}`;
        switch (answer.status) {
          case 200: {
            const shown = recordAt === null ? null : rules.answer(write, answer.record);
            const { startedAt, endedAt } = answer;
            const named = recordAt === null && answer.record !== null ? { externalId: answer.record.id } : {};
            return { kind: 'done', record: shown, ...named, etag: shown?.etag ?? null, startedAt, endedAt };
          }
          case 404:
            return { kind: 'absent', code: 'not_found', words };
          case 412:
            return { kind: 'conflict', code: 'conflict', words };
          case 422:
            return { kind: 'refused', code: 'bad_request', words };
        }
      } catch (error) {
        return failureOf(error);
      }
    },
    async read(id): Promise<Sighting> {
      const { record, startedAt, endedAt } = await reads.get(actor, id);
      if (record === null) return { kind: 'absent', startedAt, endedAt };
      return { kind: 'found', record, etag: record.etag, startedAt, endedAt };
    },
    async findByMarker(marker): Promise<Sighting> {
      const { items, startedAt, endedAt } = await reads.search(actor, marker);
      const [record] = items;
      if (record === undefined) return { kind: 'absent', startedAt, endedAt };
      return { kind: 'found', record, etag: record.etag, startedAt, endedAt };
    },
  };
}

function failureOf(error: unknown): PushAnswer {
  if (!(error instanceof SourceError)) throw error;
  const { code, message: words, retryAfterMs } = error;
  if (code === 'unauthorized') return { kind: 'unauthorized', code, words };
  if (code === 'forbidden') return { kind: 'refused', code, words };
  if (code === 'rate_limited') return { kind: 'later', code, words, waitMs: retryAfterMs, isLimit: true };
  return { kind: 'unknown', code, words };
}

/** What the source reads out of a request. Which write of ours it is, it cannot see; the checkers can. */
function toWrite({ pushes }: Tables, request: SavedRequest, deadline: SendOptions['deadline']): Write {
  const body = request.body === null ? {} : (JSON.parse(request.body) as { [name: string]: JsonValue });
  const { marker = null, ...fields } = body;
  const push = [...pushes.rows.values()].find((one) => one.request === request || isSame(one.request, request));
  return {
    op: request.method === 'POST' ? 'create' : request.method === 'DELETE' ? 'delete' : 'update',
    id: request.values.id ?? null,
    fields,
    ifMatch: request.headers['if-match'] ?? null,
    key: request.headers[KEY_HEADER] ?? null,
    bytes: `${request.method} ${request.values.id} ${request.body}`,
    marker: typeof marker === 'string' ? marker : null,
    tokenId: push?.tokenId ?? null,
    row: push?.targetKey ?? null,
    deadline,
  };
}

/** A store of SQL hands out copies. */
const isSame = (left: SavedRequest | null, right: SavedRequest): boolean =>
  left !== null && JSON.stringify(left) === JSON.stringify(right);
