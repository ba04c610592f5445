import type { Content } from '../model/observation.ts';
import { LOOP_RETRIED, type NamedPush, type Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import { inOneTransaction, type Refused } from './edit.ts';
import { wantRead } from './look-again.ts';
import { dirtyProperties } from './merge.ts';
import { pick } from './pick.ts';
import type { PushDeps } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';
import { restoreRow } from './restore-rows.ts';
import { tellOperator } from './tell-operator.ts';

export type OperateDeps = Pick<PushDeps, 'stream' | 'store' | 'wakePushes' | 'wakeHints'>;

/** `pushId`: the push that brings the row's edits from now on. */
type Retried = { readonly kind: 'retried'; readonly pushId: string };
type Discarded = { readonly kind: 'discarded' };

/** Why an operator's word on a push was not carried out; nothing has changed. */
export type NotOperated =
  | { readonly kind: 'no_push' }
  | { readonly kind: 'not_now'; readonly state: Push['state']; readonly why: string }
  /** Sent again it may create a second record: to be confirmed. */
  | { readonly kind: 'may_duplicate' }
  | Refused;

/**
 * Lets a parked push go on: its row is looked at anew, and what differs is sent under a new token. Of a write that the source
 * has carried out only the settling is tried again; one that may have been needs the caller's word that a second record
 * would do no harm.
 */
export async function retryPush(
  deps: OperateDeps,
  named: NamedPush,
  { mayDuplicate, correlationId }: { readonly mayDuplicate: boolean; readonly correlationId: string },
): Promise<Retried | NotOperated> {
  const operated = await inOneTransaction(deps, async (tx): Promise<Retried | NotOperated> => {
    const subjectOf = await lockSubjects(tx, [named.targetKey]);
    return await retryLocked(tx, named.id, subjectOf(named.targetKey), { mayDuplicate, correlationId });
  });
  if (operated.kind === 'retried') deps.wakePushes();
  return operated;
}

/** In the caller's transaction, which has locked what the push is of. */
export async function retryLocked(
  tx: RecordTx,
  id: string,
  { state }: Subject,
  { mayDuplicate, correlationId }: { readonly mayDuplicate: boolean; readonly correlationId: string },
): Promise<Retried | NotOperated> {
  const push = await tx.lockPush(id);
  if (push === null) return { kind: 'no_push' };
  if (push.state !== 'parked') return notNow(push, 'only a parked push is tried again');
  if (push.parkReason === 'create_unknown' && !mayDuplicate) return { kind: 'may_duplicate' };
  if (push.parkReason === 'mass_delete') return notNow(push, 'removals are released, or discarded, all together');
  const token = push.tokenId === null ? null : await tx.readToken(push.tokenId);
  const now = await tx.now();
  if (token?.state === 'confirmed') {
    const flights = state === null ? null : await tx.flightsOf([state.externalId]);
    if (flights?.size) return notNow(push, 'another write of the record is under way: wait until that is settled');
    // The source has it: only what it made of it is still to be brought here.
    await tx.finishPush(push, { to: 'unknown', runAt: now, errorCode: push.errorCode, error: push.error });
    await tell(tx, push, state, 'retry', correlationId);
    return { kind: 'retried', pushId: push.id };
  }
  if (push.carries === 'request')
    return notNow(push, 'its values are those of a caller: discard it, and send the request again');
  const errorCode = push.parkReason === 'loop_suspected' ? LOOP_RETRIED : push.errorCode;
  await tx.finishPush(push, { to: 'done', errorCode, error: push.error });
  const { targetKey, externalId, edits, editedAt } = push;
  const pushes = await tx.ensurePushes([{ targetKey, externalId, edits, runAt: now, editedAt }]);
  await tell(tx, push, state, 'retry', correlationId);
  return { kind: 'retried', pushId: pushes.get(targetKey) ?? push.id };
}

/**
 * Gives up what a push was to bring: the row holds again what the source was last seen to hold, or goes where the source has
 * no record of it, and what it held is kept as a conflict. Not while another push of the row is under way.
 */
export async function discardPush(
  deps: OperateDeps,
  named: NamedPush,
  correlationId: string,
): Promise<Discarded | NotOperated> {
  const operated = await inOneTransaction(deps, async (tx): Promise<Discarded | NotOperated> => {
    const subjectOf = await lockSubjects(tx, [named.targetKey]);
    return await discardLocked(tx, deps, named.id, subjectOf(named.targetKey), {
      from: ['parked', 'ready'],
      correlationId,
    });
  });
  if (operated.kind === 'discarded') deps.wakeHints();
  return operated;
}

/** In the caller's transaction, which has locked what the push is of. `from`: states that it is given up in. */
export async function discardLocked(
  tx: RecordTx,
  deps: OperateDeps,
  id: string,
  subject: Subject,
  { from, correlationId }: { readonly from: readonly Push['state'][]; readonly correlationId: string },
): Promise<Discarded | NotOperated> {
  const { state, conflict } = subject;
  const push = await tx.lockPush(id);
  if (push === null) return { kind: 'no_push' };
  if (!from.includes(push.state))
    return notNow(
      push,
      push.state === 'done' ? 'it is over' : 'its request may be under way: wait until that is settled',
    );
  if (conflict !== null) return { kind: 'in_conflict', conflictId: conflict };
  // The row would be taken for an edit that is newer than what is under way, and be sent after it.
  if (await isInFlight(tx, push.targetKey, state)) return { kind: 'in_flight' };
  if (push.carries === 'row') await bringBack(tx, deps, push, subject);
  await tx.dropPushes([push.targetKey]);
  await tx.dropParked([push.targetKey]);
  const token = push.tokenId === null ? null : await tx.readToken(push.tokenId);
  // A record that the source has made of it is still there.
  const externalId = state?.externalId ?? token?.externalId ?? null;
  if (externalId !== null) await wantRead(tx, externalId);
  await tell(tx, push, state, 'discard', correlationId);
  return { kind: 'discarded' };
}

async function bringBack(tx: RecordTx, { stream }: OperateDeps, push: Push, { state, row }: Subject): Promise<void> {
  const { targetKey } = push;
  if (state?.status !== 'live') {
    if (row === null) return;
    // Nothing at the source stands for it, as far as anybody knows.
    await tx.removeRows([targetKey]);
    const met = { fields: Object.keys(row), base: null, local: row, remote: null, remoteVersion: null };
    return await keep(tx, { externalId: null, targetKey, kind: 'created_and_deleted', ...met });
  }
  const content = state.shadow ?? state.base;
  if (row === null) {
    if (content !== null) await restoreRow(tx, stream, { state, push, content });
    return;
  }
  const { shadow } = state;
  if (shadow === null) return;
  const fields = dirtyProperties(row, shadow, stream.target.contentProperties);
  if (fields.length === 0) return;
  const stored = (await tx.writeRows([{ ...row, ...pick(shadow, fields) }])).get(targetKey) ?? row;
  await tx.saveStates([{ ...state, shadow: { ...shadow, ...pick(stored, fields) } }]);
  const met = { base: pick(shadow, fields), local: pick(row, fields), remote: pick(state.base ?? shadow, fields) };
  const { externalId, version: remoteVersion } = state;
  await keep(tx, { externalId, targetKey, kind: 'both_changed', fields, ...met, remoteVersion });
}

type Kept = Omit<Parameters<RecordTx['recordConflicts']>[0][number], 'policy' | 'outcome'>;

/** As decided by a person, not by a policy. */
async function keep(tx: RecordTx, kept: Kept): Promise<void> {
  await tx.recordConflicts([{ ...kept, policy: 'manual', outcome: null }]);
  const open = (await tx.openConflicts([kept.targetKey])).get(kept.targetKey);
  if (open !== undefined) await tx.closeConflict(open.id, 'remote', 'operator');
}

/** What a push is of. `conflict`: the id of the open one. */
type Subject = { readonly state: RecordState | null; readonly row: Content | null; readonly conflict: string | null };

/** Records, their rows and what is open of them, in the order in which everything is locked. @returns each by its row's key. */
export async function lockSubjects(
  tx: RecordTx,
  targetKeys: readonly string[],
): Promise<(targetKey: string) => Subject> {
  const ids = await tx.findByTargetKey(targetKeys);
  const states = await tx.lockStates([...new Set(ids.values())].sort());
  const rows = await tx.lockRows([...new Set(targetKeys)].sort());
  const conflicts = await tx.openConflicts(targetKeys);
  return (targetKey) => ({
    state: states.get(ids.get(targetKey) ?? '') ?? null,
    row: rows.get(targetKey) ?? null,
    conflict: conflicts.get(targetKey)?.id ?? null,
  });
}

/** Another push of the row, or of its record under a former key, is not settled. */
async function isInFlight(tx: RecordTx, targetKey: string, state: RecordState | null): Promise<boolean> {
  if ((await tx.flightsIn([targetKey])).size > 0) return true;
  return state !== null && (await tx.flightsOf([state.externalId])).size > 0;
}

const notNow = ({ state }: Push, why: string): NotOperated => ({ kind: 'not_now', state, why });

/** Of a row without a record there is no history: what it held is kept as a conflict. */
async function tell(
  tx: RecordTx,
  { parkReason: reason }: Push,
  state: RecordState | null,
  what: 'retry' | 'discard',
  correlationId: string,
): Promise<void> {
  if (state !== null) await tellOperator(tx, state, { what, decision: 'push', reason, correlationId });
}
