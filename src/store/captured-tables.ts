import { sql } from 'drizzle-orm';
import { type CaptureTarget, captureNames, commentStatement, identityOfComment } from '../db/capture-sql.ts';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import { contentColumns, keyColumn, tableName } from '../db/target-sql.ts';
import { compareIdentity, type IdentityChange, type TableIdentity } from '../model/table-identity.ts';

/** The table of a two-way stream, as it is and as it was when it was last taken up. */
export type CapturedTable<T extends CaptureTarget = CaptureTarget> = {
  readonly capture: T;
  /** Null before the first time. */
  readonly kept: TableIdentity | null;
  /** Null while there is no such table. */
  readonly now: TableIdentity | null;
  readonly change: IdentityChange;
  /** All triggers stand on it, and are switched on. */
  readonly isCapturing: boolean;
};

/** How the tables of these streams stand, in one look at the catalogue. Locks nothing. */
export async function readCapturedTables<T extends CaptureTarget>(
  db: Db,
  captures: readonly T[],
): Promise<CapturedTable<T>[]> {
  if (captures.length === 0) return [];
  const rows = await queryRows<{
    place: number;
    comment: string | null;
    schema_id: string;
    table_id: string | null;
    columns: string | null;
    triggers: number;
  }>(
    db,
    sql`SELECT w.place, obj_description(f.id, 'pg_proc') AS comment, 'sync.streams'::regclass::oid::text AS schema_id,
               t.id::text AS table_id,
               (SELECT json_object_agg(a.attname, a.attnum)::text FROM pg_attribute AS a
                WHERE a.attrelid = t.id AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.attname IN (SELECT jsonb_array_elements_text(w.columns))) AS columns,
               (SELECT count(*)::int FROM pg_trigger AS g
                WHERE g.tgrelid = t.id AND g.tgfoid = f.id AND g.tgenabled IN ('O', 'A')) AS triggers
        FROM jsonb_to_recordset(${JSON.stringify(captures.map(toWish))}::text::jsonb)
               AS w(place int, function text, name text, columns jsonb)
        CROSS JOIN LATERAL (SELECT to_regprocedure(w.function)::oid AS id) AS f
        CROSS JOIN LATERAL (SELECT to_regclass(w.name)::oid AS id) AS t`,
  );
  return rows.flatMap((row) => {
    const capture = captures[row.place];
    if (capture === undefined) return [];
    const kept = identityOfComment(row.comment);
    const { schema_id: schemaId, table_id: tableId } = row;
    const now = tableId === null ? null : { schemaId, tableId, columns: JSON.parse(row.columns ?? '{}') };
    const change = compareIdentity(kept, now, keyColumn(capture.target).name);
    return [{ capture, kept, now, change, isCapturing: row.triggers >= captureNames(capture.key).triggers.length }];
  });
}

const toWish = ({ key, target }: CaptureTarget, place: number) => ({
  place,
  function: `sync.${captureNames(key).functionName}()`,
  name: tableName(target),
  columns: [...new Set([keyColumn(target), ...contentColumns(target)].map(({ name }) => name))],
});

/** Notes beside the capture which table it is of. */
export async function keepIdentity(tx: Db, { key }: CaptureTarget, identity: TableIdentity): Promise<void> {
  await queryRows(tx, sql.raw(commentStatement(key, identity)));
}

/** Whether rows may be compared with how their records were stored: table and columns are those that were stored into. */
export async function isTableKnown(db: Db, capture: CaptureTarget): Promise<boolean> {
  return (await readCapturedTables(db, [capture])).every(({ change }) => change.kind === 'none');
}
