import type { Content } from '../model/observation.ts';
import { keyOf } from './fold.ts';
import { type Held, keyIn, landMerge, note } from './land-merge.ts';
import { wantRead } from './look-again.ts';
import { isSame } from './merge.ts';
import { decideOrder, orderByInterval } from './order.ts';
import type { TwoWayStream } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';

/**
 * Joins a row with the record that its create has made, now that the id is known: the row takes the record's key and the
 * form in which the source stored it. A record that was deleted after it had been created takes the row with it; one that
 * has come into a row of its own by then keeps that one. What either row held beyond what was sent is kept as a conflict.
 */
export async function linkCreate(tx: RecordTx, stream: TwoWayStream, held: Held): Promise<void> {
  const { push, seen, state, rows } = held;
  const row = rows.get(push.targetKey) ?? null;
  if (seen.content === null || isBuried(stream, held)) return await removeDeleted(tx, held, row);
  if (state.status === 'live' && keyOf(state) !== push.targetKey) return await removeDouble(tx, stream, held, row);
  if (state.status === 'tombstone') await wantRead(tx, seen.externalId);
  const key = keyIn(stream, seen.externalId, seen.content);
  // What was edited meanwhile is sent by the push that its caller knows.
  await tx.movePush(push.targetKey, key, seen.externalId);
  // A request has no row of its own: one that stands under the record's key already is merged with it.
  const at = push.carries === 'request' ? key : push.targetKey;
  await landMerge(tx, stream, held, { at, row: rows.get(at) ?? null, content: seen.content });
}

/** Ids come back where they are keys of the user's: what was deleted before the create was sent is an earlier record. */
const isBuried = ({ caps }: TwoWayStream, { seen, state }: Held): boolean =>
  state.status === 'tombstone' &&
  !state.isTombSoft &&
  orderByInterval(seen, state) !== 'newer' &&
  decideOrder(seen, state, caps) !== 'newer';

async function removeDeleted(tx: RecordTx, held: Held, row: Content | null): Promise<void> {
  await keepRow(tx, held, row, 'created_and_deleted');
  await note(tx, held, held.state, 'deleted');
}

async function removeDouble(tx: RecordTx, stream: TwoWayStream, held: Held, row: Content | null): Promise<void> {
  const { push, seen } = held;
  if (row === null || isAtSource(stream, held, row)) await remove(tx, push.targetKey);
  else await keepRow(tx, held, row, 'adopted');
  await wantRead(tx, seen.externalId);
  await note(tx, held, held.state, 'row_of_its_own');
}

/** Nothing is lost with the row: each of its values was sent, or is what the record shows. Its own key is no value. */
const isAtSource = ({ target }: TwoWayStream, { push, seen }: Held, row: Content): boolean =>
  Object.entries(row).every(
    ([name, value]) =>
      name === target.keyProperty ||
      value === null ||
      isSame(value, seen.content?.[name]) ||
      (push.patch !== null && name in push.patch && isSame(value, push.patch[name])),
  );

async function keepRow(tx: RecordTx, held: Held, row: Content | null, kind: 'created_and_deleted' | 'adopted') {
  const { push, seen } = held;
  await remove(tx, push.targetKey);
  if (row === null) return;
  await tx.recordConflicts([
    {
      externalId: seen.externalId,
      targetKey: push.targetKey,
      kind,
      fields: [],
      base: null,
      local: row,
      remote: seen.content,
      remoteVersion: seen.version,
      policy: 'source_wins',
      outcome: 'remote',
    },
  ]);
}

async function remove(tx: RecordTx, targetKey: string): Promise<void> {
  await tx.removeRows([targetKey]);
  await tx.dropPushes([targetKey]);
  await tx.dropParked([targetKey]);
}
