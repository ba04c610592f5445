import { hash } from 'node:crypto';
import { canonicalJson } from '../mapping/canonical-json.ts';
import type { ChangeToken } from '../model/change-token.ts';
import { addMs } from '../model/instant.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { PushOp } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import { callPush } from './call-push.ts';
import type { Claimed } from './claim-pushes.ts';
import { inOneTransaction, lockPlace, NO_CREATE, type Refused, refuse, refuseOther, whyNotRemoved } from './edit.ts';
import { MAX_TRIES, makeKey } from './edit-create.ts';
import type { IfMatch } from './edit-place.ts';
import type { EditForm, EditValues } from './edit-values.ts';
import type { PushFate } from './finish-push.ts';
import { brakeRemovals } from './mass-delete.ts';
import { isSame } from './merge.ts';
import { pick } from './pick.ts';
import { LEASE_MARGIN_MS, PUSH_LEASE_MS, type PushDeps } from './push-deps.ts';
import { editedOf, ifMatchOf, makePushRequest } from './push-request.ts';
import type { RecordTx } from './record-store.ts';
import { fieldHashesOf } from './token-match.ts';

/**
 * What became of an edit of a stream that writes source-first. `done`: the source has it, and its answer is committed here.
 * `turned_down`: it has not, and nothing has changed here. `unknown`: nobody knows yet; it is found out without the caller,
 * and then committed, or not.
 */
export type AtSource =
  | { readonly kind: 'done'; readonly pushId: string }
  | { readonly kind: 'unknown'; readonly pushId: string }
  | {
      readonly kind: 'turned_down';
      readonly pushId: string;
      readonly code: string;
      readonly words: string;
      readonly isFinal: boolean;
    }
  | { readonly kind: 'repeat'; readonly pushId: string }
  | { readonly kind: 'unchanged' }
  /** The row has no record yet: there is nothing at the source that could be edited. */
  | { readonly kind: 'no_record_yet' }
  | Refused;

/** The push of a request, before it is sent. */
type Wish = {
  readonly op: PushOp;
  readonly targetKey: string;
  readonly state: RecordState | null;
  readonly row: Content | null;
  /** Null for a delete. */
  readonly values: Content | null;
};

type Options = { readonly ifMatch: IfMatch | null; readonly form: Exclude<EditForm, 'create'> };

/** Asks the source to change a record, and commits what it made of that. The row is as it was until then. */
export async function editAtSource(
  deps: PushDeps,
  id: string,
  { values, repeated }: EditValues,
  { ifMatch, form }: Options,
  signal: AbortSignal,
): Promise<AtSource> {
  const begun = await inOneTransaction(deps, async (tx): Promise<Claimed | AtSource> => {
    const { state, targetKey, row } = await lockPlace(tx, deps, id, ifMatch);
    if (form === 'whole') refuseOther(row, repeated);
    if (state === null) return { kind: 'no_record_yet' };
    const changed = Object.entries(values).filter(([property, value]) => !isSame(row[property], value));
    if (changed.length === 0) return { kind: 'unchanged' };
    return await begin(tx, deps, { op: 'update', targetKey, state, row, values: Object.fromEntries(changed) });
  });
  return await carryOut(deps, begun, signal);
}

/** Asks the source to delete a record, and removes the row once it has. */
export async function removeAtSource(
  deps: PushDeps,
  id: string,
  ifMatch: IfMatch | null,
  signal: AbortSignal,
): Promise<AtSource> {
  const why = whyNotRemoved(deps.stream.twoWay);
  const begun = await inOneTransaction(deps, async (tx): Promise<Claimed | AtSource> => {
    const { state, targetKey, row } = await lockPlace(tx, deps, id, ifMatch);
    if (state === null) return { kind: 'no_record_yet' };
    if (why !== null) return refuse({ kind: 'not_supported', why });
    // Committed, so that the removals before this one are held back as well.
    if ((await brakeRemovals(tx, deps, { count: 1, found: 'told' })) !== 'free') return { kind: 'deletes_held' };
    return await begin(tx, deps, { op: 'delete', targetKey, state, row, values: null });
  });
  return await carryOut(deps, begun, signal);
}

/**
 * Asks the source to create a record, and writes its row once it has. With an idempotency key the same request creates one
 * record within a day; one that the source surely has not created leaves its key free for the next try.
 */
export async function createAtSource(
  deps: PushDeps,
  edit: EditValues,
  idempotencyKey: string | null,
  signal: AbortSignal,
): Promise<AtSource> {
  if (deps.stream.twoWay.writes.create === null) return { kind: 'not_supported', why: NO_CREATE };
  for (let tries = 1; ; tries++) {
    const begun = await inOneTransaction(deps, (tx) => beginCreate(tx, deps, edit, idempotencyKey));
    // A rival with the same key may have been first, and is under way: what it comes to is told by its push.
    const isRivals = 'kind' in begun && begun.kind === 'key_reused' && tries < MAX_TRIES;
    if (!isRivals) return await carryOut(deps, begun, signal);
  }
}

async function beginCreate(
  tx: RecordTx,
  deps: PushDeps,
  { values }: EditValues,
  idempotencyKey: string | null,
): Promise<Claimed | AtSource> {
  const keyHash = idempotencyKey === null ? null : hash('sha256', idempotencyKey);
  const requestHash = hash('sha256', JSON.stringify(canonicalJson(values)));
  const known = keyHash === null ? null : await tx.findEditKey(keyHash);
  if (known !== null && known.requestHash !== requestHash) return refuse({ kind: 'key_reused' });
  if (known !== null && !(await isTurnedDown(tx, known.pushId))) return { kind: 'repeat', pushId: known.pushId };
  const targetKey = placeholderKey(deps);
  if (targetKey === null) return refuse({ kind: 'not_supported', why: 'its key column has no room for a key of ours' });
  const claimed = await begin(tx, deps, { op: 'create', targetKey, state: null, row: null, values });
  if (keyHash === null || !('push' in claimed)) return claimed;
  const key = { keyHash, requestHash, targetKey, pushId: claimed.push.id };
  return (await tx.saveEditKey(key, known?.pushId ?? null)) ? claimed : refuse({ kind: 'key_reused' });
}

/** The source surely has not done it, so what it was to bring is not on its way any more. */
async function isTurnedDown(tx: RecordTx, pushId: string): Promise<boolean> {
  const push = await tx.lockPush(pushId);
  const token = push === null || push.tokenId === null ? null : await tx.readToken(push.tokenId);
  return token?.state === 'rejected';
}

/** No row has it, and none will: it only keeps pushes apart. */
function placeholderKey({ stream: { target }, newId }: PushDeps): string | null {
  const column = target.columns[target.keyProperty];
  const key: JsonValue | null = column === undefined ? null : makeKey(column, newId());
  return key === null ? null : String(key);
}

/** The push and its token, with the exact bytes of its request, before anything is sent. */
async function begin(
  tx: RecordTx,
  deps: PushDeps,
  { op, targetKey, state, row, values }: Wish,
): Promise<Claimed | AtSource> {
  const { stream, newId } = deps;
  const endpoint = stream.twoWay.writes[op];
  const tokenId = newId();
  const externalId = state?.externalId ?? null;
  const ifMatch = state === null ? null : ifMatchOf(endpoint, state);
  const isWhole = endpoint?.sends === 'record' && op === 'update';
  const content = values === null || !isWhole ? values : pick({ ...row, ...values }, stream.twoWay.writable);
  const made = makePushRequest(stream.twoWay, { op, externalId, content, ifMatch, tokenId });
  if (!made.ok) return refuse({ kind: 'not_supported', why: made.words });
  const now = await tx.now();
  const token: ChangeToken = {
    id: tokenId,
    state: 'pending',
    externalId,
    targetKey,
    preHash: state?.baseHash ?? null,
    fieldHashes: fieldHashesOf(editedOf(made, values), stream.mapper.hashOf),
    resultHash: null,
    resultVersion: null,
    resultEtag: null,
    echo: null,
    seenCount: 0,
    createdAt: now,
    expiresAt: null,
  };
  const push = await tx.startRequest(targetKey, {
    op,
    externalId,
    // As it is before: where it is edited meanwhile, that edit is newer than this one.
    snapshot: row,
    patch: values,
    request: made.request,
    ifMatch,
    preVersion: state?.version ?? null,
    tokenId,
    leaseMs: PUSH_LEASE_MS,
    deadline: addMs(now, PUSH_LEASE_MS - LEASE_MARGIN_MS),
  });
  if (push === null) return { kind: 'in_flight' };
  await tx.insertToken(token);
  return { push, token };
}

/** Sends what was begun. A caller who hangs up does not stop it: the source may have done it by then. */
async function carryOut(deps: PushDeps, begun: Claimed | AtSource, signal: AbortSignal): Promise<AtSource> {
  if (!('push' in begun)) return begun;
  const pushId = begun.push.id;
  await deps.crashPoint('C15');
  return toAtSource(pushId, await callPush(deps, begun, signal));
}

function toAtSource(pushId: string, fate: PushFate): AtSource {
  switch (fate.kind) {
    case 'settled':
      return { kind: 'done', pushId };
    case 'again':
    case 'parked':
      return { kind: 'turned_down', pushId, code: fate.code, words: fate.words, isFinal: fate.kind === 'parked' };
    default:
      return { kind: 'unknown', pushId };
  }
}
