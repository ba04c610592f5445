import { addMs } from '../../src/model/instant.ts';
import { observeAbsence, type Sight } from '../../src/sync/observe.ts';
import type { Stream } from '../../src/sync/stream.ts';
import { applySeen } from './apply-seen.ts';
import type { RunRow } from './tables.ts';
import type { SimulationTx, WorkerDeps } from './worker.ts';

const ABSENT_RUNS_TO_DELETE = 2;

/** An empty list, or more absences than expected, deletes nothing. */
export function isBraked({ minimum, maxShare }: Stream['deletions'], run: RunRow, candidates: number): boolean {
  const isEmpty = run.listed.length === 0 && run.liveBefore > 0;
  return isEmpty || candidates > Math.max(minimum, maxShare * run.liveBefore);
}

/** Has each candidate read once more; where nothing can be read by id, two complete runs must have missed it. */
export async function sweep(
  tx: SimulationTx,
  deps: WorkerDeps,
  run: RunRow,
  candidates: readonly string[],
): Promise<void> {
  const { tables, rules } = deps;
  const { caps } = deps.stream();
  if (caps.canGet && rules.sweep === 'reads') {
    const now = await tx.now();
    await tx.wantReads(
      candidates.map((externalId) => ({
        externalId,
        reason: 'sweep',
        needLo: run.startedAt,
        minVersion: null,
        runAt: now,
        attempt: 0,
        correlationId: null,
        runId: run.id,
      })),
    );
    return;
  }
  const gone = candidates.filter((id) => {
    const absent = (tables.absentRuns.get(id) ?? 0) + 1;
    tables.absentRuns.set(id, absent);
    return caps.canGet || absent >= ABSENT_RUNS_TO_DELETE;
  });
  const now = await tx.now();
  const sight: Sight = {
    channel: 'page',
    origin: { kind: 'run', id: run.id },
    lo: rules.sweep === 'deletes_without_evidence' ? now : addMs(run.startedAt, -caps.readLagMs),
    hi: now,
    isFullRun: false,
    isPartial: false,
    previousVersion: null,
    etag: null,
    inboxId: null,
    correlationId: null,
    isLastAttempt: true,
  };
  const absences = gone.map((id) => observeAbsence(id, sight, { isPositiveDelete: false, version: null }));
  await applySeen(tx, deps, absences, { repairs: false });
}
