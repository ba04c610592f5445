import { isEffective, type Outcome } from '../../src/model/apply.ts';
import type { LeasedHint, NewHint } from '../../src/model/hint.ts';
import { addMs, type Instant } from '../../src/model/instant.ts';
import { SourceError } from '../../src/source/error.ts';
import { expectsAbsence } from '../../src/store/hints.ts';
import { observe, observeAbsence, type Sight } from '../../src/sync/observe.ts';
import { backoffMs } from '../../src/sync/retry.ts';
import { applySeen } from './apply-seen.ts';
import { isHeldRow } from './held.ts';
import { nextHintAt } from './memory-hints.ts';
import type { Seen } from './source-reads.ts';
import type { SimulationTx, WorkerDeps } from './worker.ts';

const HINT_LEASE_MS = 60_000;
const MIN_WAIT_MS = 50;

/** Works hints off, each with one read, by the rules of `rereadOnce`. */
export async function runReread(deps: WorkerDeps): Promise<never> {
  const { actor, tables, clock, store } = deps;
  for (;;) {
    await actor.idle(() => !tables.progress.get().pausedForAuth && nextHintAt(tables) <= clock.at());
    const hint = await store.transaction((tx) => tx.claimHint(HINT_LEASE_MS));
    if (hint === null) continue;
    await actor.crashPoint('C4');
    try {
      deps.figures.count('reads by id');
      const seen = await deps.reads.get(actor, hint.externalId);
      await actor.crashPoint('C5');
      await applyRead(deps, hint, seen);
    } catch (error) {
      if (!(error instanceof SourceError) && !isHeldRow(error)) throw error;
      await postpone(deps, hint, error);
    }
  }
}

async function applyRead(deps: WorkerDeps, hint: LeasedHint, { record, startedAt, endedAt }: Seen): Promise<void> {
  const stream = deps.stream();
  const sight: Sight = {
    channel: 'get',
    origin: { kind: 'hint', id: String(hint.id), reason: hint.reason },
    lo: addMs(startedAt, -stream.caps.readLagMs),
    hi: endedAt,
    isFullRun: false,
    isPartial: false,
    previousVersion: null,
    etag: record?.etag ?? null,
    inboxId: null,
    correlationId: null,
    isLastAttempt: false,
  };
  await deps.store.transaction(async (tx) => {
    if (!(await tx.finishHint(hint))) return;
    const absent = observeAbsence(hint.externalId, sight, { isPositiveDelete: false, version: null });
    const observed = record === null ? { kind: 'sighted' as const, sighted: absent } : observe(stream, record, sight);
    if (observed.kind !== 'sighted') return;
    const { sighted } = observed;
    const answer = { isAbsent: sighted.seen.content === null, isExpected: expectsAbsence(hint.reason) };
    if (!deps.absenceBrake.believes('shop/customers', answer, stream.deletions)) {
      await tx.wantReads([{ ...carried(hint), attempt: 0, runAt: addMs(endedAt, deps.absenceBrake.waitMs) }]);
      return;
    }
    const [outcome = { kind: 'noop' as const }] = await applySeen(tx, deps, [sighted], { repairs: false });
    if (isEffective(outcome)) deps.figures.count('effective reads');
    await wantNext(tx, deps, hint, { outcome, version: sighted.seen.version, lo: sight.lo });
  });
}

/** A read that came too early is asked for again; a satisfied one is not. */
async function wantNext(
  tx: SimulationTx,
  { clock, rules, stream }: WorkerDeps,
  hint: LeasedHint,
  { outcome, ...shown }: { outcome: Outcome; version: bigint | null; lo: Instant },
): Promise<void> {
  const { caps } = stream();
  const soon = addMs(clock.at(), MIN_WAIT_MS);
  const want = (hints: readonly NewHint[]) => tx.wantReads(hints);
  if (outcome.kind === 'defer' || outcome.kind === 'retry' || outcome.kind === 'hold') {
    const runAt = addMs(shown.lo, caps.readLagMs + backoffMs(hint.attempt, 0.5));
    await want([{ ...carried(hint), runAt: Math.max(runAt, soon) }]);
  } else if (!rules.isSatisfied(hint, shown, caps)) {
    await want([{ ...carried(hint), attempt: 0, runAt: Math.max(addMs(hint.needLo, caps.readLagMs), soon) }]);
  }
}

const carried = (hint: LeasedHint): Omit<NewHint, 'runAt'> => ({
  externalId: hint.externalId,
  reason: hint.reason,
  needLo: hint.needLo,
  minVersion: hint.minVersion,
  attempt: hint.attempt,
  correlationId: null,
  runId: hint.runId,
  isUrgent: hint.isUrgent,
});

/** A failed read changes nothing but when it is tried again. */
async function postpone(deps: WorkerDeps, hint: LeasedHint, error: unknown): Promise<void> {
  const isRefused = error instanceof SourceError && error.code === 'unauthorized';
  const retryAfterMs = error instanceof SourceError ? (error.retryAfterMs ?? 0) : 0;
  const waitMs = Math.max(retryAfterMs, backoffMs(Math.min(hint.attempt, 5), deps.random.next()), MIN_WAIT_MS);
  await deps.store.transaction(async (tx) => {
    if (!(await tx.finishHint(hint))) return;
    if (isRefused) await tx.pauseForAuth('401');
    const now = await tx.now();
    await tx.wantReads([{ ...carried(hint), attempt: Math.min(hint.attempt, 5), runAt: addMs(now, waitMs) }]);
  });
}
