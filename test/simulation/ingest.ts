import type { Outcome } from '../../src/model/apply.ts';
import type { NewHint } from '../../src/model/hint.ts';
import { addMs, BEFORE_ALL } from '../../src/model/instant.ts';
import { observe, observeAbsence, type Sight } from '../../src/sync/observe.ts';
import { backoffMs } from '../../src/sync/retry.ts';
import { applySeen } from './apply-seen.ts';
import { isHeldRow } from './held.ts';
import type { HookBody } from './model-source.ts';
import type { InboxRow, Tables } from './tables.ts';
import type { SimulationTx, WorkerDeps } from './worker.ts';

/** Takes one delivery in, as the edge does after it has verified the sender. @returns false for one that was known. */
export function receive(tables: Tables, delivery: Pick<InboxRow, 'eventId' | 'body' | 'receivedAt'>): boolean {
  if (tables.seenEvents.get(delivery.eventId) !== undefined) return false;
  tables.seenEvents.set(delivery.eventId, true);
  const id = tables.nextId();
  tables.inbox.set(id, { ...delivery, id, runAt: delivery.receivedAt, attempt: 0 });
  return true;
}

/** Works deliveries off, one a transaction, as `ingestOnce` does. */
export async function runIngest(deps: WorkerDeps): Promise<never> {
  const { actor, tables, clock } = deps;
  for (;;) {
    await actor.idle(() => nextInboxAt(tables) <= clock.at());
    await deps.store
      .transaction(async (tx) => {
        const row = claimDelivery(tables, clock.at());
        if (row === null) return;
        await actor.crashPoint('C3');
        const outcome = await applyDelivery(tx, deps, row);
        if (outcome?.kind === 'defer' || outcome?.kind === 'retry' || outcome?.kind === 'hold') postpone(deps, row);
        else tables.inbox.remove(row.id);
      })
      .catch((error: unknown) => {
        if (!isHeldRow(error)) throw error;
        const row = claimDelivery(tables, clock.at());
        if (row !== null) postpone(deps, row);
      });
    await actor.crashPoint('C6');
  }
}

export function nextInboxAt(tables: Tables): number {
  let next = Number.POSITIVE_INFINITY;
  for (const { runAt } of tables.inbox.rows.values()) next = Math.min(next, runAt);
  return next;
}

function claimDelivery(tables: Tables, now: number): InboxRow | null {
  for (const row of tables.inbox.rows.values()) if (row.runAt <= now) return row;
  return null;
}

function postpone({ tables, clock, random }: WorkerDeps, row: InboxRow): void {
  const attempt = row.attempt + 1;
  const waitMs = backoffMs(Math.min(attempt, 7), random.next());
  tables.inbox.set(row.id, { ...row, attempt, runAt: addMs(clock.at(), Math.max(waitMs, 50)) });
}

/** A delivery is something seen, or a reason to read, by the rules of `takeApart`. */
async function applyDelivery(tx: SimulationTx, deps: WorkerDeps, row: InboxRow): Promise<Outcome | null> {
  const stream = deps.stream();
  const body = row.body as HookBody;
  const sight: Sight = {
    channel: 'hook',
    origin: { kind: 'delivery', id: String(row.id) },
    lo: BEFORE_ALL,
    hi: row.receivedAt,
    isFullRun: false,
    isPartial: body.kind === 'partial',
    previousVersion: body.previousVersion,
    etag: null,
    inboxId: row.id,
    correlationId: null,
    isLastAttempt: false,
  };
  if (body.kind === 'thin') {
    await tx.wantReads([readAgain(body.id, body.version, sight)]);
    return null;
  }
  if (body.kind === 'deleted') {
    const isOrdered = stream.caps.deleteEvents === 'versioned' && body.version !== null;
    if (!isOrdered && stream.caps.canUndelete && stream.caps.canGet) {
      await tx.wantReads([{ ...readAgain(body.id, null, sight), reason: 'delete' }]);
      return null;
    }
    const said = { isPositiveDelete: true, version: isOrdered ? body.version : null };
    return (await applySeen(tx, deps, [observeAbsence(body.id, sight, said)], { repairs: false }))[0] ?? null;
  }
  const observed = observe(stream, body.record, sight);
  if (observed.kind !== 'sighted') return null;
  return (await applySeen(tx, deps, [observed.sighted], { repairs: false }))[0] ?? null;
}

const readAgain = (externalId: string, minVersion: bigint | null, { hi }: Sight): NewHint => ({
  externalId,
  reason: 'hook',
  needLo: hi,
  minVersion,
  runAt: hi,
  attempt: 0,
  correlationId: null,
  runId: null,
});

/** An unsigned payload is never believed: whatever it says, it is a reason to read. */
export const asUnsigned = (body: HookBody): HookBody => ({ ...body, kind: 'thin', record: null, version: null });
