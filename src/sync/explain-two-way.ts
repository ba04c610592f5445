import type { Db } from '../db/connect.ts';
import { toDate } from '../model/instant.ts';
import { readPushesOf } from '../store/push-list.ts';
import { describePush } from './describe-push.ts';
import { findPlace, type Place, tagOf } from './edit-place.ts';
import { dirtyProperties } from './merge.ts';
import { createRecordStore } from './record-tx.ts';
import type { Stream } from './stream.ts';

/** The newest are told; what became of older ones is in the record's history. */
const MAX_PUSHES = 5;

/**
 * How a row stands that is edited here too: its entity tag, what of it the source does not have yet, and the pushes that
 * bring it there. Null of a mirror, and where there is no row.
 */
export async function explainTwoWay(db: Db, stream: Stream, id: string) {
  if (stream.twoWay === null) return null;
  const place = await createRecordStore(db, stream).transaction((tx) => findPlace(tx, stream, id, 'unlocked'));
  if (place === null) return null;
  const { state, targetKey, conflict } = place;
  const of = { externalId: state?.externalId ?? null, targetKey };
  const pushes = await readPushesOf(db, stream.key, of, MAX_PUSHES);
  return {
    recordId: of.externalId,
    key: targetKey,
    etag: tagOf(stream, place),
    dirty: dirtyOf(stream, place),
    conflict:
      conflict === null
        ? null
        : {
            id: conflict.id,
            kind: conflict.kind,
            fields: conflict.fields,
            since: toDate(conflict.createdAt).toISOString(),
          },
    pushes: pushes.map(describePush),
  };
}

/** Of a row without a record everything is still to be brought there. */
function dirtyOf({ target, twoWay }: Stream, { state, row }: Place): string[] {
  const properties = target.contentProperties.filter((property) => twoWay?.writable.has(property) === true);
  return state === null ? properties : dirtyProperties(row, state.shadow, properties);
}
