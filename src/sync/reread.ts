import { setMaxListeners } from 'node:events';
import type { Db } from '../db/connect.ts';
import { failureKind } from '../db/failure.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { isEffective, type Outcome } from '../model/apply.ts';
import type { LeasedHint, NewHint } from '../model/hint.ts';
import { addMs, BEFORE_ALL, type Instant } from '../model/instant.ts';
import type { Sighting } from '../source/client.ts';
import { SourceError } from '../source/error.ts';
import { setAside } from '../store/dead-letters.ts';
import { claimHints, enqueueHints, expectsAbsence, finishHint, type HintKind } from '../store/hints.ts';
import { addRunDeletions } from '../store/run-progress.ts';
import { readRun } from '../store/runs.ts';
import { requireFullRun } from '../store/streams.ts';
import { applyBatch } from './apply.ts';
import { behindLookup, describeFailure, LeaseLostError } from './failures.ts';
import type { IngestDeps } from './ingest.ts';
import { assertLookedUp, withLookups } from './lookups.ts';
import { type Observed, observe, observeAbsence, type Sight } from './observe.ts';
import { pauseForAuth } from './pause.ts';
import { setUnmappedAside } from './quarantine.ts';
import { type Early, laneOf, readTogether } from './read-together.ts';
import { backoffMs, MAX_ATTEMPTS, MAX_WAITS_FOR_OTHERS } from './retry.ts';
import { isSatisfied } from './satisfaction.ts';
import { type Stream, streamName } from './stream.ts';

/** Longer than any read may take, so that a lease never lapses under a living worker. */
const HINT_LEASE_MS = 60_000;
const READ_DEADLINE_MS = 50_000;
/** What attempts may come to while the source is away: reads that fail for another reason have the rest of them. */
const MAX_PASSING_ATTEMPTS = 5;
/** A lapsed need is asked for again this soon at the earliest. */
const MIN_WAIT_MS = 50;

export type RereadChoice = { readonly integrations?: readonly string[]; readonly kind?: HintKind };
export type RereadReport = { readonly claimed: number; readonly applied: number };

/**
 * Takes up to `limit` due hints (of the named integrations and of one kind; default: all), reads each record from its
 * source, together where it can be asked for many, and applies what it shows. The reads run side by side and outside of any
 * transaction; each answer is applied together with the removal of its hint. A read that comes too
 * early to settle its question is asked again, so a lagging replica cannot hide a change or fake a deletion.
 */
export async function rereadOnce(
  deps: IngestDeps,
  limit: number,
  signal: AbortSignal,
  { integrations = [...deps.integrations.keys()], kind = 'any' }: RereadChoice = {},
): Promise<RereadReport> {
  const hints = await claimHints(deps.db, { integrations, kind, limit, leaseMs: HINT_LEASE_MS });
  if (hints.length === 0) return { claimed: 0, applied: 0 };
  await deps.crashPoint('C4');
  const over = { stop: signal, read: AbortSignal.any([signal, AbortSignal.timeout(READ_DEADLINE_MS)]) };
  setMaxListeners(0, over.read); // each read listens to it: a warning of a leak would be a false one
  const names = [...new Set(hints.map(streamName))];
  const groups = names.map((name) => hints.filter((hint) => streamName(hint) === name));
  const applied = await Promise.all(groups.map((group) => rereadGroup(deps, group, over)));
  return { claimed: hints.length, applied: applied.flat().filter(Boolean).length };
}

/** `stop`: the process ends. `read`: that, or the reads took too long for their leases. */
type Over = { readonly stop: AbortSignal; readonly read: AbortSignal };

async function rereadGroup(deps: IngestDeps, hints: readonly LeasedHint[], over: Over): Promise<boolean[]> {
  const stream = hints[0] === undefined ? undefined : deps.streams.get(streamName(hints[0]));
  const known = stream === undefined || stream.get === null ? null : await readTogether(deps, stream, hints, over.read);
  return await Promise.all(hints.map((hint) => rereadSafely(deps, hint, known?.get(hint.id) ?? null, over)));
}

/** @returns true when the read changed the target. */
async function rereadSafely(deps: IngestDeps, hint: LeasedHint, early: Early | null, over: Over): Promise<boolean> {
  const stream = deps.streams.get(streamName(hint));
  if (stream === undefined || stream.get === null) {
    await drop(deps, hint);
    return false;
  }
  try {
    if (early?.kind === 'failed') throw early.error;
    const options = { lane: laneOf([hint]), signal: over.read };
    const sighting = early?.sighting ?? (await stream.client.getRecord(stream.get, hint.externalId, options));
    await deps.crashPoint('C5');
    return await withLookups(stream.lookups, over.stop, () => applySighting(deps, stream, hint, sighting));
  } catch (error) {
    if (error instanceof LeaseLostError || over.stop.aborted) return false;
    if (failureKind(error) === 'connection') throw error;
    await postpone(deps, stream, hint, error);
    return false;
  }
}

async function applySighting(deps: IngestDeps, stream: Stream, hint: LeasedHint, sighting: Sighting): Promise<boolean> {
  const sight = sightOf(stream, hint, sighting);
  const outcome = await deps.db.transaction(async (tx): Promise<Outcome> => {
    if (!(await finishHint(tx, hint))) throw new LeaseLostError('The hint was taken over');
    const observed = observeSighting(stream, hint, sighting, sight);
    assertLookedUp([observed]);
    if (observed.kind === 'sighted' && observed.sighted.seen.externalId !== hint.externalId) {
      await setStrangerAside(tx, stream, hint, sight);
      return { kind: 'quarantine' };
    }
    if (observed.kind !== 'sighted' && observed.kind !== 'invalid') return { kind: 'noop' };
    if (!isBelieved(deps, stream, hint, observed)) {
      await enqueueHints(tx, stream.key, [
        { ...carried(hint), attempt: 0, runAt: addMs(sight.hi, deps.absenceBrake.waitMs) },
      ]);
      return { kind: 'hold' };
    }
    if (observed.kind === 'invalid') {
      await setUnmappedAside(tx, stream, {
        ...sight,
        problem: observed.problem,
        record: observed.record,
        isDelete: false,
      });
      return { kind: 'quarantine' };
    }
    const [made] = await applyBatch(tx, stream, [{ ...observed.sighted, knownAt: hint.knownAt }], { repairs: false });
    const result = made ?? { kind: 'noop' };
    if (hint.runId !== null && result.kind === 'delete') await addRunDeletions(tx, hint.runId, 1);
    const again = nextRead(stream, hint, { outcome: result, version: observed.sighted.seen.version, lo: sight.lo });
    if (again !== null)
      await enqueueHints(tx, stream.key, [{ ...again, runAt: Math.max(again.runAt, await soon(tx)) }]);
    return result;
  });
  await countDrift(deps, stream, hint, outcome);
  if (outcome.kind === 'verify' || outcome.kind === 'defer') deps.wakeHints();
  return isEffective(outcome);
}

const soon = async (tx: Db): Promise<Instant> => addMs(await readDatabaseNow(tx), MIN_WAIT_MS);

function sightOf(stream: Stream, hint: LeasedHint, { startedAt, endedAt, ...rest }: Sighting): Sight {
  return {
    channel: 'get',
    origin: { kind: 'hint', id: String(hint.id), reason: hint.reason },
    lo: addMs(startedAt, -stream.caps.readLagMs),
    hi: endedAt,
    isFullRun: false,
    isPartial: false,
    previousVersion: null,
    etag: rest.kind === 'found' ? rest.etag : null,
    inboxId: null,
    correlationId: hint.correlationId,
    isLastAttempt: hint.attempt >= MAX_WAITS_FOR_OTHERS,
  };
}

function observeSighting(stream: Stream, hint: LeasedHint, sighting: Sighting, sight: Sight): Observed {
  const absent: Observed = {
    kind: 'sighted',
    sighted: observeAbsence(hint.externalId, sight, { isPositiveDelete: false, version: null }),
  };
  if (sighting.kind === 'absent') return absent;
  const observed = observe(stream, sighting.record, sight);
  // It exists, but is none of this entity's any more: for us that is the same.
  return observed.kind === 'ignored' ? absent : observed;
}

/**
 * Credentials that lost a right make every record look deleted, a field that the source renamed makes every record look
 * like another entity's: too many surprises, and absences are not believed.
 */
function isBelieved(deps: IngestDeps, stream: Stream, hint: LeasedHint, observed: Observed): boolean {
  const isExpected = expectsAbsence(hint.reason);
  const seen = observed.kind === 'sighted' ? observed.sighted.seen : null;
  const answer = { isAbsent: seen !== null && seen.content === null && !seen.isPositiveDelete, isExpected };
  if (deps.absenceBrake.believes(streamName(stream.key), answer, stream.deletions)) return true;
  deps.log.warn({ ...stream.key, externalId: hint.externalId }, 'too many reads found nothing; deletion held back');
  return false;
}

/**
 * Asked for one record, the source showed another: it was moved or merged, or the definition's key is not what
 * `read.get` asks by. Taking it for an absence would delete every record in the second case, so a person decides.
 */
async function setStrangerAside(tx: Db, stream: Stream, hint: LeasedHint, sight: Sight): Promise<void> {
  await setAside(tx, {
    ...unreadable(stream, hint, sight.hi),
    errorCode: 'wrong_record',
    message: `${streamName(stream.key)} record ${hint.externalId}: read by id, another record came; check that read.get asks by the entity's key`,
  });
}

const unreadable = (stream: Stream, hint: LeasedHint, hi: Instant) =>
  ({
    ...stream.key,
    externalId: hint.externalId,
    channel: 'get',
    inboxId: null,
    record: null,
    isPartial: false,
    isDelete: false,
    lo: BEFORE_ALL,
    hi,
    version: null,
    fieldPath: null,
    correlationId: hint.correlationId,
  }) as const;

/** The read that is still needed after this one, or null. A satisfied hint shows the wanted version, or is late enough. */
function nextRead(
  stream: Stream,
  hint: LeasedHint,
  shown: { outcome: Outcome; version: bigint | null; lo: Instant },
): NewHint | null {
  const again = (runAt: Instant): NewHint => ({ ...carried(hint), runAt });
  const afresh = (runAt: Instant): NewHint => ({ ...again(runAt), attempt: 0 });
  const { kind } = shown.outcome;
  if (kind === 'defer' || kind === 'retry' || kind === 'hold') {
    return again(addMs(shown.lo, stream.caps.readLagMs + backoffMs(hint.attempt, 0.5)));
  }
  if (isSatisfied(hint, shown, stream.caps)) return null;
  // The read itself succeeded: reads that came too early are not failures of the one that may follow.
  return afresh(addMs(hint.needLo, stream.caps.readLagMs));
}

const carried = (hint: LeasedHint): Omit<NewHint, 'runAt'> => ({
  externalId: hint.externalId,
  reason: hint.reason,
  needLo: hint.needLo,
  minVersion: hint.minVersion,
  attempt: hint.attempt,
  correlationId: hint.correlationId,
  runId: hint.runId,
  isUrgent: hint.isUrgent,
  knownAt: hint.knownAt,
});

/**
 * After a failed read the need stays and is asked for later; refused credentials pause the integration first. Failures that
 * no later read can mend (an id that cannot stand in a path, a rule that skips the record, answers that are not what the definition says) end as a dead letter after the last attempt.
 */
async function postpone(deps: IngestDeps, stream: Stream, hint: LeasedHint, thrown: unknown): Promise<void> {
  const error = behindLookup(thrown);
  const { code, message } = describeFailure(error);
  const isRefused = error instanceof SourceError && error.code === 'unauthorized';
  if (isRefused) await pauseForAuth(deps, stream.key.integration, error);
  const isHopeless = code === 'bad_id' || code === 'skipped' || (hint.attempt >= MAX_ATTEMPTS && !isPassing(error));
  const waitMs = isRefused ? 0 : Math.max(retryAfterMs(error), backoffMs(hint.attempt, deps.random()));
  const attempt = isAway(error) ? Math.min(hint.attempt, MAX_PASSING_ATTEMPTS) : hint.attempt;
  deps.log.warn({ ...stream.key, externalId: hint.externalId, attempt: hint.attempt, code }, 'read failed');
  await deps.db.transaction(async (tx) => {
    if (!(await finishHint(tx, hint))) return;
    const now = await readDatabaseNow(tx);
    if (!isHopeless) {
      const runAt = addMs(now, Math.max(waitMs, MIN_WAIT_MS));
      await enqueueHints(tx, stream.key, [{ ...carried(hint), attempt, runAt }]);
      return;
    }
    await setAside(tx, {
      ...unreadable(stream, hint, now),
      errorCode: code,
      message: `${streamName(stream.key)} record ${hint.externalId}: it cannot be read: ${message}`,
    });
  });
}

/** The source is down, throttles us or refuses our credentials: nothing is known about this record, so it stays wanted. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof SourceError)) return failureKind(error) !== 'other';
  return error.isRetryable || error.code === 'unauthorized' || error.code === 'forbidden' || error.code === 'aborted';
}

/** It is no fault of the read: the next one may be the first that the source answers at all. */
const isAway = (error: unknown): boolean =>
  error instanceof SourceError && (error.isRetryable || error.code === 'unauthorized' || error.code === 'aborted');

const retryAfterMs = (error: unknown): number => (error instanceof SourceError ? (error.retryAfterMs ?? 0) : 0);

/** What a run's own reads changed is drift too: no webhook had brought it. */
async function countDrift(deps: IngestDeps, stream: Stream, hint: LeasedHint, outcome: Outcome): Promise<void> {
  if (hint.runId === null) {
    if (isEffective(outcome)) deps.tally.hookRead(stream.key);
    return;
  }
  const run = await readRun(deps.db, hint.runId);
  if (run === null || run.isBackfill) return;
  if (outcome.kind === 'insert') deps.tally.drift(stream.key, 'missing', 1);
  if (outcome.kind === 'update') deps.tally.drift(stream.key, 'stale', 1);
  if (outcome.kind === 'delete') deps.tally.drift(stream.key, 'deleted', 1);
}

/**
 * The stream cannot read by id, or is not in our configuration, though it may be in that of a newer replica, or return: what
 * the hint wanted is owed by its next full run.
 */
async function drop(deps: IngestDeps, hint: LeasedHint): Promise<void> {
  await deps.db.transaction(async (tx) => {
    const { integration, entity } = hint;
    if (await finishHint(tx, hint)) await requireFullRun(tx, { integration, entity });
  });
}
