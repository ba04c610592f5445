import type { Db } from '../db/connect.ts';
import { failureKind } from '../db/failure.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { isEffective, type Outcome, type Sighted } from '../model/apply.ts';
import type { NewHint } from '../model/hint.ts';
import type { ClaimedDelivery, DeliveryOutcome } from '../model/inbox.ts';
import type { Instant } from '../model/instant.ts';
import { setAside } from '../store/dead-letters.ts';
import { claimDeliveries, finishDeliveries } from '../store/inbox.ts';
import { readStates } from '../store/record-states.ts';
import { pauseStream } from '../store/streams.ts';
import { applyBatch } from './apply.ts';
import type { SyncDeps } from './deps.ts';
import { type DeliveryParts, type EventPart, takeApart } from './events.ts';
import { describeFailure } from './failures.ts';
import type { Integration } from './integration.ts';
import { setUnmappedAside, type Unmapped } from './quarantine.ts';
import { backoffMs, decideAfterFailure, MAX_ATTEMPTS } from './retry.ts';
import type { Stream } from './stream.ts';
import { wantReads } from './want.ts';

export type IngestDeps = SyncDeps & { readonly integrations: ReadonlyMap<string, Integration> };
export type IngestReport = { readonly claimed: number; readonly applied: number; readonly hints: number };

/** After a table or column went missing its deliveries wait this long between attempts. */
const SCHEMA_WAIT_MS = 30_000;
/** Most calls are settled by then. */
const PUSH_WAIT_MS = 1_000;

/**
 * Takes up to `limit` deliveries from the inbox and applies them, in one transaction: claimed, mapped, applied and finished
 * together, or not at all. A delivery that cannot be read becomes a dead letter; one whose record somebody holds waits and
 * is tried again. When the whole batch fails for no record's sake the deliveries are tried one by one, so that a single
 * one cannot hold up the rest; connection failures are thrown, and nothing is lost by them.
 */
export async function ingestOnce(deps: IngestDeps, limit: number): Promise<IngestReport> {
  const held: ClaimedDelivery[] = [];
  try {
    return await ingestBatch(deps, limit, held);
  } catch (error) {
    const kind = failureKind(error);
    if (kind === 'connection' || kind === 'full' || held.length === 0) throw error;
    // Nothing was worked off, and who is in the way needs a moment: the report lets the caller wait.
    if (kind === 'serialization' || kind === 'lock_timeout') return { claimed: 0, applied: 0, hints: 0 };
    deps.log.error(
      { ...describeFailure(error), err: error, deliveries: held.length },
      'batch failed; trying one by one',
    );
    return await ingestEach(deps, held);
  }
}

async function ingestBatch(
  deps: IngestDeps,
  limit: number,
  held: ClaimedDelivery[],
  only?: number,
): Promise<IngestReport> {
  const work = await deps.db.transaction(async (tx) => {
    const integrations = [...deps.integrations.keys()];
    const claimed = await claimDeliveries(tx, { integrations, limit, only: only ?? null });
    held.push(...claimed);
    if (claimed.length === 0) return null;
    await deps.crashPoint('C3');
    const parts = claimed.map((delivery) => takeApart(deps.integrations.get(delivery.integration), delivery));
    const applied = await applyParts(tx, deps, parts);
    for (const one of parts) if (one.problem !== null) await buryDelivery(tx, one);
    await finishDeliveries(
      tx,
      parts.map((one) => outcomeOf(deps, one, applied.outcomes)),
    );
    return { parts, applied };
  });
  if (work === null) return { claimed: 0, applied: 0, hints: 0 };
  for (const { delivery, eventType, unknownTypes, problem } of work.parts) {
    const { id, integration, correlationId, attempt } = delivery;
    deps.log.debug(
      { delivery: id, integration, eventType, correlationId, attempt: attempt + 1 },
      'delivery worked off',
    );
    deps.tally.deliveries(delivery.integration, 'unknown_type', unknownTypes);
    if (problem !== null) deps.tally.deliveries(delivery.integration, 'unreadable', 1);
  }
  await deps.crashPoint('C6');
  const latest = latestByStream(work.parts);
  for (const [stream, count] of work.applied.effective) deps.tally.hook(stream.key, count, latest.get(stream) ?? 0);
  if (work.applied.hints > 0) deps.wakeHints();
  return { claimed: work.parts.length, applied: sum(work.applied.effective.values()), hints: work.applied.hints };
}

type Applied = {
  readonly outcomes: ReadonlyMap<Sighted, Outcome>;
  readonly effective: ReadonlyMap<Stream, number>;
  readonly hints: number;
};

/** All parts of a batch by stream, streams in the order of their names: every worker locks in one order. */
async function applyParts(tx: Db, deps: IngestDeps, parts: readonly DeliveryParts[]): Promise<Applied> {
  const outcomes = new Map<Sighted, Outcome>();
  const effective = new Map<Stream, number>();
  let hints = 0;
  const now = await readDatabaseNow(tx);
  for (const [stream, events] of groupByStream(parts)) {
    stream.lookups?.request(); // tables past their time are read anew while this goes on
    const sighted = events.flatMap((event) => (event.kind === 'sighted' ? [event.sighted] : []));
    const unmapped = events.flatMap((event): Unmapped[] => (event.kind === 'unmapped' ? [event.unmapped] : []));
    const wanted = events.flatMap((event): NewHint[] => (event.kind === 'hint' ? [{ ...event.hint, runAt: now }] : []));
    wanted.push(...(await leavers(tx, stream, events)).map((hint) => ({ ...hint, runAt: now })));
    const done = await applyOrHold(tx, deps, stream, sighted);
    const verifying = done.filter(({ kind }) => kind === 'verify').length;
    for (const [place, one] of sighted.entries()) {
      if (stream.get === null || !waitsForPush(done[place])) continue;
      wanted.push({ ...readInstead(one), runAt: now });
      done[place] = { kind: 'verify' };
    }
    for (const [place, one] of sighted.entries()) outcomes.set(one, done[place] ?? { kind: 'noop' });
    for (const one of unmapped) await setUnmappedAside(tx, stream, one);
    await wantReads(tx, stream, wanted);
    effective.set(stream, done.filter(isEffective).length);
    hints += wanted.length + verifying;
  }
  return { outcomes, effective, hints };
}

/** A write of ours has to be settled first, which may take longer than a delivery waits for a lock. */
const waitsForPush = (outcome: Outcome | undefined): boolean =>
  outcome?.kind === 'defer' && outcome.isInFlight === true;

/** A read that comes late enough shows at least what the delivery did. */
const readInstead = ({ seen, correlationId }: Sighted): Omit<NewHint, 'runAt'> => ({
  externalId: seen.externalId,
  reason: seen.content === null ? 'delete' : 'deferred',
  needLo: seen.hi,
  minVersion: seen.version,
  attempt: 0,
  correlationId,
  runId: null,
});

/**
 * Records that we hold and that an event shows to be none of the entity's any more. It may be a foreign record with the
 * same id, so nothing is removed on its word: reading settles it, or a full run where nothing can be read by id.
 */
async function leavers(tx: Db, stream: Stream, events: readonly EventPart[]): Promise<NewHint[]> {
  const hints = events.flatMap((event): NewHint[] => (event.kind === 'not_ours' ? [event.hint] : []));
  if (hints.length === 0) return [];
  const states = await readStates(
    tx,
    stream.key,
    hints.map(({ externalId }) => externalId),
  );
  return hints.filter(({ externalId }) => states.get(externalId)?.status === 'live');
}

/** When the last delivery that speaks of a stream was received. */
function latestByStream(parts: readonly DeliveryParts[]): ReadonlyMap<Stream, Instant> {
  const latest = new Map<Stream, Instant>();
  for (const { delivery, events } of parts) {
    for (const { stream } of events) {
      latest.set(stream, Math.max(latest.get(stream) ?? delivery.receivedAt, delivery.receivedAt));
    }
  }
  return latest;
}

/** A missing table is no record's fault: the stream is paused in so many words, and its deliveries wait. */
async function applyOrHold(tx: Db, deps: IngestDeps, stream: Stream, sighted: readonly Sighted[]): Promise<Outcome[]> {
  try {
    return await applyBatch(tx, stream, sighted, { repairs: false });
  } catch (error) {
    if (failureKind(error) !== 'schema') throw error;
    deps.log.error({ ...stream.key, ...describeFailure(error) }, 'target cannot be written; its deliveries wait');
    await pauseStream(tx, stream.key, describeFailure(error).message);
    return sighted.map(() => ({ kind: 'hold' }));
  }
}

function groupByStream(parts: readonly DeliveryParts[]): [Stream, EventPart[]][] {
  const groups = new Map<Stream, EventPart[]>();
  for (const { events } of parts) {
    for (const event of events) {
      const group = groups.get(event.stream);
      if (group === undefined) groups.set(event.stream, [event]);
      else group.push(event);
    }
  }
  const name = ({ key }: Stream) => `${key.integration}/${key.entity}`;
  return [...groups].sort(([left], [right]) => (name(left) < name(right) ? -1 : 1));
}

/** The worst that happened to any part of a delivery decides what becomes of it. */
function outcomeOf(deps: IngestDeps, parts: DeliveryParts, outcomes: ReadonlyMap<Sighted, Outcome>): DeliveryOutcome {
  const { delivery, eventType } = parts;
  const { id, attempt } = delivery;
  if (parts.problem !== null) return { id, to: 'dead', eventType, outcome: parts.problem.code };
  const kinds = new Set(
    parts.events.map((event) =>
      event.kind === 'sighted' ? (outcomes.get(event.sighted)?.kind ?? 'noop') : event.kind,
    ),
  );
  if (kinds.has('waits')) return waitForLookups(deps, parts);
  if (kinds.has('hold')) return { id, to: 'received', waitMs: SCHEMA_WAIT_MS, outcome: 'hold', isFailure: false };
  if (waitsOnlyForPushes(parts, outcomes)) {
    return { id, to: 'received', waitMs: PUSH_WAIT_MS, outcome: 'defer', isFailure: false };
  }
  if (kinds.has('defer') || kinds.has('retry')) {
    const step = decideAfterFailure({ attempt: Math.min(attempt + 1, MAX_ATTEMPTS - 1), random: deps.random() });
    const waitMs = step.kind === 'retry' ? step.waitMs : SCHEMA_WAIT_MS;
    return { id, to: 'received', waitMs, outcome: 'defer', isFailure: true };
  }
  if (parts.events.length === 0) return { id, to: 'skipped', eventType, outcome: parts.skippedBecause };
  if (kinds.size === 1 && kinds.has('not_ours')) return { id, to: 'skipped', eventType, outcome: 'not_ours' };
  return { id, to: 'applied', eventType, outcome: [...kinds].sort().join(',') };
}

/** It could not be asked for by id, and nothing else is in its way: that is no failure, however long it takes. */
function waitsOnlyForPushes({ events }: DeliveryParts, outcomes: ReadonlyMap<Sighted, Outcome>): boolean {
  const done = events.flatMap((event) => (event.kind === 'sighted' ? [outcomes.get(event.sighted)] : []));
  const waiting = done.filter((outcome) => outcome?.kind === 'defer' || outcome?.kind === 'retry');
  return waiting.length > 0 && waiting.every(waitsForPush);
}

/** Loads run in the background: who waited here would hold up the other integrations. Only failed ones count as attempts. */
function waitForLookups({ random }: IngestDeps, { delivery, events }: DeliveryParts): DeliveryOutcome {
  const { id, attempt } = delivery;
  const asked = events.flatMap((event) => (event.kind === 'waits' ? (event.stream.lookups?.request() ?? []) : []));
  const isFailure = asked.some(({ isFailing }) => isFailing);
  const ownMs = isFailure ? backoffMs(attempt, random()) : 0;
  const waitMs = Math.max(ownMs, ...asked.map((one) => one.waitMs));
  return { id, to: 'received', waitMs, outcome: 'lookup', isFailure };
}

async function buryDelivery(tx: Db, { delivery, problem }: DeliveryParts): Promise<void> {
  await setAside(tx, {
    integration: delivery.integration,
    entity: null,
    externalId: null,
    channel: 'hook',
    inboxId: delivery.id,
    record: null,
    isPartial: false,
    isDelete: false,
    lo: Number.NEGATIVE_INFINITY,
    hi: delivery.receivedAt,
    version: null,
    errorCode: problem?.code ?? 'unreadable',
    fieldPath: problem?.fieldPath ?? null,
    message: `${delivery.integration}: ${problem?.message ?? 'the delivery cannot be read'}`,
    correlationId: delivery.correlationId,
  });
}

/** Each delivery alone. One that still fails waits, and after its last attempt becomes a dead letter. */
async function ingestEach(deps: IngestDeps, held: readonly ClaimedDelivery[]): Promise<IngestReport> {
  let applied = 0;
  let hints = 0;
  for (const delivery of held) {
    try {
      const report = await ingestBatch(deps, 1, [], delivery.id);
      applied += report.applied;
      hints += report.hints;
    } catch (error) {
      if (failureKind(error) === 'connection') throw error;
      await failDelivery(deps, delivery, error);
    }
  }
  return { claimed: held.length, applied, hints };
}

async function failDelivery(deps: IngestDeps, delivery: ClaimedDelivery, error: unknown): Promise<void> {
  const { code, message } = describeFailure(error);
  deps.log.error({ delivery: delivery.id, correlationId: delivery.correlationId, code, err: error }, 'delivery failed');
  const step = decideAfterFailure({ attempt: delivery.attempt + 1, random: deps.random() });
  await deps.db.transaction(async (tx) => {
    const { id } = delivery;
    if (step.kind === 'retry') {
      await finishDeliveries(tx, [{ id, to: 'received', waitMs: step.waitMs, outcome: code, isFailure: true }]);
      return;
    }
    await buryDelivery(tx, {
      delivery,
      events: [],
      eventType: null,
      skippedBecause: '',
      unknownTypes: 0,
      problem: { code, message, fieldPath: null },
    });
    await finishDeliveries(tx, [{ id, to: 'dead', eventType: null, outcome: code }]);
  });
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, one) => total + one, 0);
