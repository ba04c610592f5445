import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import type { Log } from '../lib/log.ts';
import { toDate } from '../model/instant.ts';
import type { IdentityChange } from '../model/table-identity.ts';
import type { CaptureTarget } from '../store/capture.ts';
import { type CapturedTable, keepIdentity } from '../store/captured-tables.ts';
import { forgetStored } from '../store/record-states.ts';
import { holdDeletes, requireFullRun } from '../store/streams.ts';
import type { TwoWay } from './two-way.ts';

/** Records of one transaction. */
const BATCH_RECORDS = 1_000;

/** `localDeletes`: where it is `detach`, a row that is gone means nothing, and nothing has to be held back. */
export type CaptureWish = CaptureTarget & { readonly localDeletes?: TwoWay['localDeletes'] };

/**
 * Takes a table up as it now is: what follows is compared with that. DDL is no edit. Of a table or a column that was made
 * anew, how records were stored there is forgotten, as of a mirror that becomes two-way: nothing in it counts as removed or
 * edited, and the full run that is owed from now on writes what is missing and adopts what is there. Until this has ended
 * nothing is pushed. Interrupted, it is begun anew.
 */
export async function takeUpTable(
  db: Db,
  log: Log,
  { capture, kept, now, change, isCapturing }: CapturedTable<CaptureWish>,
): Promise<void> {
  if (now === null) return;
  const { key } = capture;
  if (change.kind !== 'none') await forget(db, capture, change);
  const seenAt = toDate(await readDatabaseNow(db)).toISOString();
  await db.transaction(async (tx) => {
    await keepIdentity(tx, capture, now);
    if (change.kind === 'none' && (kept === null || isCapturing)) return;
    await requireFullRun(tx, key);
    // Whatever may still look removed, a person says whether it was.
    if (change.kind === 'table' && capture.localDeletes !== 'detach') {
      await holdDeletes(tx, key, `its table was made anew, and edits of it before ${seenAt} were not captured`);
    }
  });
  const table = `${capture.target.schema}.${capture.target.name}`;
  if (change.kind === 'table') log.warn({ ...key, table }, 'the table was made anew; a full run fills it');
  if (change.kind === 'columns')
    log.warn({ ...key, table, columns: change.names }, 'columns of the table were made anew; a full run fills them');
  if (kept !== null && !isCapturing)
    log.warn({ ...key, table }, 'edits of the table were not captured for a while; a full run and the audit find them');
}

async function forget(db: Db, { key, target }: CaptureTarget, change: IdentityChange): Promise<void> {
  const properties =
    change.kind === 'columns'
      ? target.contentProperties.filter((property) => change.names.includes(target.columns[property]?.name ?? ''))
      : null;
  let after: string | null = null;
  do {
    const from: string | null = after;
    after = await db.transaction((tx) => forgetStored(tx, key, properties, { after: from, limit: BATCH_RECORDS }));
  } while (after !== null);
}
