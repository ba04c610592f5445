import type { Db } from '../db/connect.ts';
import type { Outcome, Sighted } from '../model/apply.ts';
import type { NewHint } from '../model/hint.ts';
import { addMs, type Instant } from '../model/instant.ts';
import type { LeasedRun, RunCounts } from '../model/run.ts';
import type { Page } from '../source/client.ts';
import { enqueueHints } from '../store/hints.ts';
import { readStates } from '../store/record-states.ts';
import { requireFullRun } from '../store/streams.ts';
import { applyBatch } from './apply.ts';
import { foldRecord } from './fold.ts';
import { assertLookedUp } from './lookups.ts';
import { type Observed, observe } from './observe.ts';
import { previewTwoWay } from './preview-two-way.ts';
import { setHeldAside, setUnmappedAside } from './quarantine.ts';
import { openRecordTx } from './record-tx.ts';
import type { Stream } from './stream.ts';

/** What one page showed and what came of it. */
export type PageResult = {
  readonly counts: Partial<RunCounts>;
  /** Ids that were listed, whatever was decided about them. */
  readonly ids: readonly string[];
  /** False when a row has no readable id, so that nobody can say what was not listed. */
  readonly isIdsComplete: boolean;
  readonly maxKey: bigint | null;
  /** Rows that somebody else held, or whose parent is missing. */
  readonly deferred: readonly string[];
};

/** Observations of a page's rows. Of a record listed twice only the last row counts. */
export function observePage(stream: Stream, run: LeasedRun, page: Page, isLastAttempt: boolean): Observed[] {
  const sight = {
    channel: 'page',
    origin: { kind: 'run', id: run.id },
    lo: addMs(page.startedAt, -stream.caps.readLagMs),
    hi: page.endedAt,
    isFullRun: run.mode === 'full',
    isPartial: false,
    previousVersion: null,
    etag: null,
    inboxId: null,
    correlationId: run.id,
    isLastAttempt,
  } as const;
  const latest = new Map<string, Observed>();
  const nameless: Observed[] = [];
  for (const item of page.items) {
    const observed = observe(stream, item, sight);
    const id = idOf(observed);
    if (id === null) nameless.push(observed);
    else {
      latest.delete(id);
      latest.set(id, observed);
    }
  }
  return [...latest.values(), ...nameless];
}

const idOf = (observed: Observed): string | null =>
  observed.kind === 'sighted' ? observed.sighted.seen.externalId : observed.externalId;

/**
 * Applies a page in the caller's transaction. Rows that could not be applied now are queued as reads; where no reads exist
 * they are, on the last attempt, set aside, or, where only a write of ours is in the way, another full run is owed: the checkpoint never passes a row that is nowhere. Throws
 * `LookupUnavailableError`, and has done nothing then, when a row has an id that cannot be looked up yet.
 */
export async function applyPage(
  tx: Db,
  stream: Stream,
  run: LeasedRun,
  page: Page,
  options: { isLastAttempt: boolean; now: Instant },
): Promise<PageResult> {
  const observed = observePage(stream, run, page, options.isLastAttempt);
  assertLookedUp(observed);
  const sighted = observed.flatMap((one) => (one.kind === 'sighted' ? [one.sighted] : []));
  for (const one of observed) {
    if (one.kind !== 'invalid') continue;
    await setUnmappedAside(tx, stream, {
      problem: one.problem,
      record: one.record,
      channel: 'page',
      origin: { kind: 'run', id: run.id },
      isPartial: false,
      isDelete: false,
      lo: addMs(page.startedAt, -stream.caps.readLagMs),
      hi: page.endedAt,
      inboxId: null,
      correlationId: run.id,
    });
  }
  await askForLeavers(tx, stream, run, observed, options.now);
  const outcomes = await applyBatch(tx, stream, sighted, { repairs: stream.repairs && run.mode === 'full' });
  const deferred = sighted.flatMap((one, place) => (isDeferred(outcomes[place]) ? [one.seen.externalId] : []));
  if (stream.get !== null) {
    const again = deferred.map((id) => deferredHint(id, run, options.now));
    await enqueueHints(tx, stream.key, again);
  } else if (options.isLastAttempt) {
    for (const [place, one] of sighted.entries()) {
      const outcome = outcomes[place];
      if (outcome?.kind === 'defer' && outcome.isInFlight === true) await requireFullRun(tx, stream.key);
      else if (isDeferred(outcome)) await setHeldAside(tx, stream, one);
    }
  }
  return { ...summarise(observed, sighted, outcomes), deferred };
}

/**
 * A listed record that is none of the entity's any more, but that we hold, is read again: that settles it. In a full run
 * it counts as not listed instead, so that the sweep's brake holds when suddenly every record looks like that.
 */
async function askForLeavers(
  tx: Db,
  stream: Stream,
  run: LeasedRun,
  observed: readonly Observed[],
  now: Instant,
): Promise<void> {
  const ids = observed.flatMap((one) => (one.kind === 'ignored' && one.externalId !== null ? [one.externalId] : []));
  if (ids.length === 0 || stream.get === null || run.mode === 'full') return;
  const states = await readStates(tx, stream.key, ids);
  const held = ids.filter((id) => states.get(id)?.status === 'live');
  await enqueueHints(
    tx,
    stream.key,
    held.map((id) => ({ ...deferredHint(id, run, now), reason: 'verify' as const })),
  );
}

/** What a page would change, by the same decisions, writing nothing. */
export async function previewPage(
  db: Db,
  stream: Stream,
  run: LeasedRun,
  page: Page,
  now: Instant,
): Promise<PageResult> {
  const observed = observePage(stream, run, page, false);
  assertLookedUp(observed);
  const sighted = observed.flatMap((one) => (one.kind === 'sighted' ? [one.sighted] : []));
  const ids = sighted.map((one) => one.seen.externalId);
  const { twoWay } = stream;
  if (twoWay !== null) {
    const outcomes = await previewTwoWay(openRecordTx(db, stream), { ...stream, twoWay }, sighted, now);
    return { ...summarise(observed, sighted, outcomes), deferred: [] };
  }
  const known = await readStates(db, stream.key, ids);
  const outcomes = sighted.map((one): Outcome => {
    const folded = foldRecord(stream, known.get(one.seen.externalId) ?? null, [one], now);
    return folded.outcomes.get(one) ?? { kind: 'noop' };
  });
  return { ...summarise(observed, sighted, outcomes), deferred: [] };
}

const isDeferred = (outcome: Outcome | undefined): boolean => outcome?.kind === 'defer' || outcome?.kind === 'retry';

const deferredHint = (externalId: string, run: LeasedRun, now: Instant): NewHint => ({
  externalId,
  reason: 'deferred',
  needLo: now,
  minVersion: null,
  runAt: now,
  attempt: 0,
  correlationId: run.id,
  runId: run.id,
});

function summarise(observed: readonly Observed[], sighted: readonly Sighted[], outcomes: readonly Outcome[]) {
  const counts = countOutcomes(outcomes);
  let ignored = 0;
  let failed = counts.failed ?? 0;
  let isIdsComplete = true;
  const ids: string[] = [];
  for (const one of observed) {
    const id = idOf(one);
    if (one.kind === 'ignored') ignored++;
    else if (id === null) isIdsComplete = false;
    else ids.push(id);
    if (one.kind === 'invalid') failed++;
  }
  let maxKey: bigint | null = null;
  for (const { seen } of sighted) {
    if (seen.version !== null && (maxKey === null || seen.version > maxKey)) maxKey = seen.version;
  }
  return { counts: { ...counts, seen: observed.length, ignored, failed }, ids, isIdsComplete, maxKey };
}

const COUNTED_AS: { readonly [kind in Outcome['kind']]: keyof RunCounts } = {
  insert: 'inserted',
  update: 'updated',
  delete: 'deleted',
  repair: 'repaired',
  noop: 'unchanged',
  stale: 'stale',
  verify: 'verify',
  conflict: 'unchanged',
  link: 'linked',
  defer: 'deferred',
  retry: 'deferred',
  hold: 'deferred',
  quarantine: 'failed',
};

/** Outcomes by the counter that a run shows them under. */
export function countOutcomes(outcomes: readonly Outcome[]): Partial<RunCounts> {
  const counts: { -readonly [name in keyof RunCounts]?: number } = {};
  for (const outcome of outcomes) {
    const names = [COUNTED_AS[outcome.kind]];
    if (outcome.kind === 'link' && outcome.differs) names.push('updated');
    for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
