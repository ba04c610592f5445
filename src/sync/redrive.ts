import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import type { Outcome } from '../model/apply.ts';
import type { Origin } from '../model/observation.ts';
import { closeDeadLetter, type LockedDeadLetter, lockDeadLetter } from '../store/dead-letters.ts';
import { enqueueHints } from '../store/hints.ts';
import { replayDelivery } from '../store/inbox.ts';
import { appendHistory } from '../store/record-history.ts';
import { applyBatch } from './apply.ts';
import type { SyncDeps } from './deps.ts';
import { observe, observeAbsence, type Sight } from './observe.ts';
import type { Stream } from './stream.ts';
import { operatorEntry } from './tell-operator.ts';

/**
 * What a retry led to. `read`: the record is being read again. `delivery`: its delivery is worked on again. `applied`: the
 * stored record was applied as it is. `still_bad`: it fails as before and stays open.
 */
export type Redriven =
  | { readonly kind: 'read' | 'delivery' | 'applied' }
  | { readonly kind: 'still_bad'; readonly reason: string }
  | { readonly kind: 'gone'; readonly reason: string };

/**
 * Tries a dead letter again. Where the record can be read by id it is: the source's present word beats any stored one.
 * Elsewhere the stored record is mapped anew, with its original times and version, so that an old one cannot win.
 */
export async function redrive(
  deps: SyncDeps,
  id: number,
  correlationId: string | null = null,
): Promise<Redriven | null> {
  const result = await deps.db.transaction(async (tx): Promise<Redriven | null> => {
    const letter = await lockDeadLetter(tx, id);
    if (letter === null) return null;
    if (letter.state !== 'open') return { kind: 'gone', reason: `it is ${letter.state} already` };
    const done = await redriveLocked(tx, deps, letter);
    if (done.kind === 'still_bad' || done.kind === 'gone') return done;
    await closeDeadLetter(tx, id, 'replayed');
    await tell(tx, letter, 'retry', correlationId);
    return done;
  });
  if (result?.kind === 'read') deps.wakeHints();
  return result;
}

/** Gives up an open dead letter. @returns false when there is none. */
export async function discardDeadLetter({ db }: SyncDeps, id: number, correlationId: string): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const letter = await lockDeadLetter(tx, id);
    if (letter === null || !(await closeDeadLetter(tx, id, 'discarded'))) return false;
    await tell(tx, letter, 'discard', correlationId);
    return true;
  });
}

/** Of an input without a readable id there is no record that it could be told of. */
async function tell(
  tx: Db,
  { integration, entity, externalId, version, errorCode }: LockedDeadLetter,
  what: 'retry' | 'discard',
  correlationId: string | null,
): Promise<void> {
  if (entity === null || externalId === null) return;
  await appendHistory(tx, { integration, entity }, [
    operatorEntry(
      { externalId, version, appliedSeq: null },
      { what, decision: 'quarantine', reason: errorCode, correlationId },
    ),
  ]);
}

async function redriveLocked(tx: Db, deps: SyncDeps, letter: LockedDeadLetter): Promise<Redriven> {
  const { externalId } = letter;
  const stream = letter.entity === null ? undefined : deps.streams.get(`${letter.integration}/${letter.entity}`);
  if (externalId !== null && stream !== undefined && stream.get !== null) {
    await readAgain(tx, stream, letter, externalId);
    return { kind: 'read' };
  }
  const isStored = letter.record !== null || letter.isDelete;
  if (letter.inboxId !== null && (externalId === null || !isStored)) {
    if (await replayDelivery(tx, letter.inboxId)) return { kind: 'delivery' };
    return { kind: 'gone', reason: 'the delivery is not kept any more; reconcile to get the record' };
  }
  if (stream === undefined) return { kind: 'gone', reason: 'its entity is not in the configuration any more' };
  return await applyStored(tx, stream, letter);
}

async function readAgain(tx: Db, stream: Stream, letter: LockedDeadLetter, externalId: string): Promise<void> {
  const now = await readDatabaseNow(tx);
  const { correlationId } = letter;
  await enqueueHints(tx, stream.key, [
    { externalId, reason: 'replay', needLo: now, minVersion: null, runAt: now, attempt: 0, correlationId, runId: null },
  ]);
}

async function applyStored(tx: Db, stream: Stream, letter: LockedDeadLetter): Promise<Redriven> {
  const origin: Origin = { kind: 'dead_letter', id: String(letter.id) };
  const sight: Sight = {
    channel: letter.channel,
    origin,
    lo: letter.lo,
    hi: letter.hi,
    isFullRun: false,
    isPartial: letter.isPartial,
    previousVersion: null,
    etag: null,
    inboxId: letter.inboxId,
    correlationId: letter.correlationId,
    isLastAttempt: true,
  };
  if (letter.isDelete && letter.externalId !== null) {
    const said = { isPositiveDelete: letter.channel === 'hook', version: letter.version };
    const [outcome] = await applyBatch(tx, stream, [observeAbsence(letter.externalId, sight, said)], {
      repairs: false,
    });
    return redrivenBy(outcome);
  }
  if (letter.record === null) return { kind: 'gone', reason: 'its record is not kept; reconcile to get it' };
  stream.lookups?.request(); // where the tables are not there yet the next try has them
  const observed = observe(stream, JSON.parse(letter.record), sight);
  if (observed.kind === 'invalid') return { kind: 'still_bad', reason: observed.problem.message };
  if (observed.kind === 'ignored') return { kind: 'applied' };
  if (observed.kind === 'incomplete') return { kind: 'still_bad', reason: 'it holds only some of the fields' };
  const [outcome] = await applyBatch(tx, stream, [observed.sighted], { repairs: false });
  return redrivenBy(outcome);
}

function redrivenBy(outcome: Outcome | undefined): Redriven {
  if (outcome?.kind === 'quarantine') return { kind: 'still_bad', reason: 'the database refused the row again' };
  if (outcome?.kind === 'defer' || outcome?.kind === 'retry')
    return { kind: 'still_bad', reason: 'the row is held; try again' };
  if (outcome?.kind === 'verify')
    return { kind: 'still_bad', reason: 'it does not show by itself what the record is now; reconcile to get it' };
  return { kind: 'applied' };
}
