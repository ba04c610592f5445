import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { queryRows } from '../db/query.ts';
import {
  columnOf,
  comparable,
  contentColumns,
  keyColumn,
  keyRows,
  populated,
  quote,
  tableName,
} from '../db/target-sql.ts';
import type { Instant } from '../model/instant.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content, StreamKey } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';

/** Content of a row by property, as the database writes it: not canonical yet. Exact numbers are text. */
export type RawRow = { readonly [property: string]: JsonValue };

export type FoundRow = {
  /** The key as it was asked for. */
  readonly key: string;
  readonly row: RawRow;
  /** Kept in the table and stamped as deleted: for the flows there is no such row. */
  readonly isStamped: boolean;
};

/** Rows of the given keys; missing ones are left out. `locked`: until the transaction ends, taken in the order of keys. */
export async function readTargetRows(
  db: Db,
  table: TargetTable,
  keys: readonly string[],
  lock: 'locked' | 'unlocked',
): Promise<FoundRow[]> {
  if (keys.length === 0) return [];
  const key = quote(keyColumn(table).name);
  const rows = await queryRows<{ place: number; row: string; stamped: boolean }>(
    db,
    sql`SELECT w.place, to_json(f) ->> 'stamped' = 'true' AS stamped, to_json(f)::text AS row
        FROM (SELECT ${sql.raw(`p.${key} AS key`)}, p.ordinality::int AS place
              FROM ${populated(table, keyRows(table, keys), ' WITH ORDINALITY')} ORDER BY 1) AS w
        CROSS JOIN LATERAL (
          SELECT ${sql.raw(`${values(table, 'r')}, ${stamped(table, 'r')} AS stamped FROM ${tableName(table)} AS r`)}
          WHERE ${sql.raw(`r.${key}`)} = w.key LIMIT 1 ${sql.raw(lock === 'locked' ? 'FOR UPDATE' : '')}) AS f`,
  );
  return rows.flatMap(({ place, row, stamped: isStamped }) => {
    const asked = keys[Number(place) - 1];
    return asked === undefined ? [] : [{ key: asked, row: toRaw(table, row), isStamped }];
  });
}

export type RowlessRecord = { readonly externalId: string; readonly targetKey: string };

/**
 * Live records whose row was stored and is not in the table (or is stamped as deleted), or of which a removal is parked as held
 * back, in the order of their ids, after an id. Left out are those of open conflicts, and those of which nothing is parked and
 * the removal was sent or, with `letGoUntil`, was let go on until that moment.
 */
export async function findOpenRemovals(
  db: Db,
  key: StreamKey,
  table: TargetTable,
  {
    after,
    limit,
    letGoUntil,
  }: { readonly after: string | null; readonly limit: number; readonly letGoUntil: Instant | null },
): Promise<RowlessRecord[]> {
  const isParked = removalExists(sql`o.state = 'parked' AND o.park_reason = 'mass_delete'`);
  const isOnItsWay = removalExists(
    letGoUntil === null
      ? sql`o.op = 'delete' AND o.state IN ('calling','unknown')`
      : sql`o.op = 'delete' AND o.state IN ('ready','calling','unknown') AND o.edited_at > '-infinity'
            AND o.edited_at <= to_timestamp(${letGoUntil}::float8 / 1e6)`,
  );
  const rows = await queryRows<{ external_id: string; target_key: string }>(
    db,
    sql`SELECT s.external_id, coalesce(s.target_key, s.external_id) AS target_key FROM sync.record_states AS s
        WHERE ${isLiveIn(key)} AND (${after}::text IS NULL OR s.external_id > ${after}::text)
          AND (${isParked} OR ${missesRow(table)} AND NOT ${isOnItsWay})
          AND NOT EXISTS (SELECT FROM sync.conflicts AS c WHERE c.integration = s.integration AND c.entity = s.entity
                            AND c.target_key = coalesce(s.target_key, s.external_id) AND c.outcome IS NULL)
        ORDER BY s.external_id LIMIT ${limit}`,
  );
  return rows.map((row) => ({ externalId: row.external_id, targetKey: row.target_key }));
}

/** How many there are, up to `atMost`, without those whose removal was planned until `since` and is not over. */
export async function countMissingRows(
  db: Db,
  key: StreamKey,
  table: TargetTable,
  { since, atMost }: { readonly since: Instant; readonly atMost: number },
): Promise<number> {
  const isPlanned = removalExists(
    sql`o.state <> 'done' AND o.op = 'delete'
        AND CASE WHEN o.edited_at = '-infinity' THEN o.created_at ELSE o.edited_at END <= to_timestamp(${since}::float8 / 1e6)`,
  );
  const [row] = await queryRows<{ n: number }>(
    db,
    sql`SELECT count(*)::int AS n FROM (
          SELECT FROM sync.record_states AS s
          WHERE ${isLiveIn(key)} AND ${missesRow(table)} AND NOT ${isPlanned}
          LIMIT ${atMost}) AS missing`,
  );
  return row?.n ?? 0;
}

const isLiveIn = ({ integration, entity }: StreamKey): SQL =>
  sql`s.integration = ${integration} AND s.entity = ${entity} AND s.status = 'live'`;

/** There is a push `o` of the row of the state `s`, of which this holds. */
const removalExists = (condition: SQL): SQL =>
  sql`EXISTS (SELECT FROM sync.outbox_pushes AS o
              WHERE o.integration = s.integration AND o.entity = s.entity
                AND o.target_key = coalesce(s.target_key, s.external_id) AND ${condition})`;

/** The row of the record of the state `s` was stored, and is not in the table. */
function missesRow(table: TargetTable): SQL {
  const column = quote(keyColumn(table).name);
  return sql`s.shadow IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM ${sql.raw(`${tableName(table)} AS r`)},
          jsonb_populate_record(${sql.raw(`NULL::${tableName(table)}`)},
            jsonb_build_object(${keyColumn(table).name}::text, coalesce(s.target_key, s.external_id))) AS p
        WHERE ${sql.raw(`r.${column} = p.${column} AND NOT (${stamped(table, 'r')})`)})`;
}

/** How many rows of the table no live record lives in. It reads the whole table: for what a person asks for. */
export async function countUnownedRows(db: Db, key: StreamKey, table: TargetTable): Promise<number> {
  const column = quote(keyColumn(table).name);
  const [row] = await queryRows<{ n: string }>(
    db,
    sql`SELECT ((SELECT count(*) FROM ${sql.raw(`${tableName(table)} AS r WHERE NOT (${stamped(table, 'r')})`)})
              - (SELECT count(*) FROM sync.record_states AS s CROSS JOIN LATERAL
                        jsonb_populate_record(${sql.raw(`NULL::${tableName(table)}`)},
                          jsonb_build_object(${keyColumn(table).name}::text, coalesce(s.target_key, s.external_id))) AS p
                 JOIN ${sql.raw(`${tableName(table)} AS r ON r.${column} = p.${column} AND NOT (${stamped(table, 'r')})`)}
                 WHERE s.integration = ${key.integration} AND s.entity = ${key.entity} AND s.status = 'live'))::text AS n`,
  );
  return Number(row?.n ?? 0);
}

/**
 * Adds rows. Where one of the key stands already nothing is written, and nothing returned for it. A property that a content
 * does not have gets its column's default. @returns rows as stored.
 */
export async function insertTargetRows(tx: Db, table: TargetTable, contents: readonly Content[]): Promise<RawRow[]> {
  const groups = new Map<string, { readonly without: ReadonlySet<string>; readonly alike: Content[] }>();
  for (const content of contents) {
    const without = table.contentProperties.filter((property) => content[property] === undefined);
    const group = groups.get(without.join('\n'));
    if (group === undefined) groups.set(without.join('\n'), { without: new Set(without), alike: [content] });
    else group.alike.push(content);
  }
  const rows: RawRow[] = [];
  for (const { alike, without } of groups.values()) rows.push(...(await insertAlike(tx, table, alike, without)));
  return rows;
}

async function insertAlike(
  tx: Db,
  table: TargetTable,
  contents: readonly Content[],
  without: ReadonlySet<string>,
): Promise<RawRow[]> {
  const { names, given } = assigned(table, without);
  return await returning(
    tx,
    table,
    sql`${sql.raw(`INSERT INTO ${tableName(table)} AS r (${names.join(', ')}) SELECT ${given.join(', ')} FROM `)}
        ${populated(table, contents)} ${sql.raw(`ON CONFLICT (${quote(keyColumn(table).name)}) DO NOTHING`)}`,
  );
}

/** `changed`: the properties to be set. What a row holds of the others stays: it may be more than JSON could carry here and back. */
export type RowChange = { readonly content: Content; readonly changed: readonly string[] };

/** Writes rows that stand in the table, stamped ones included. Unchanged ones are not written. @returns the written ones as stored. */
export async function updateTargetRows(tx: Db, table: TargetTable, changes: readonly RowChange[]): Promise<RawRow[]> {
  if (changes.length === 0) return [];
  const key = quote(keyColumn(table).name);
  const differs = contentColumns(table).map(
    (column, place) => `${isSet(place)} AND ${comparable('r', column)} IS DISTINCT FROM ${comparable('p', column)}`,
  );
  return await returning(
    tx,
    table,
    sql`${update(table, changes)} WHERE ${sql.raw(`r.${key} = p.${key} AND (${[...differs, stamped(table, 'r')].join(' OR ')})`)}`,
  );
}

/** Up to its condition. */
function update(table: TargetTable, changes: readonly RowChange[]): SQL {
  const { names, given } = assigned(table);
  const columns = table.contentProperties.length;
  const assignments = names.map((name, place) =>
    place < columns
      ? `${name} = CASE WHEN ${isSet(place)} THEN ${given[place]} ELSE r.${name} END`
      : `${name} = ${given[place]}`,
  );
  const contents = changes.map(({ content }) => content);
  const masks = changes.map(({ changed }) =>
    table.contentProperties.map((property) => (changed.includes(property) ? '1' : '0')).join(''),
  );
  return sql`${sql.raw(`UPDATE ${tableName(table)} AS r SET ${assignments.join(', ')} FROM `)}
    ${populated(table, contents, ' WITH ORDINALITY')}
    JOIN unnest(${sql.param(masks)}::text[]) WITH ORDINALITY AS w(mask, place) ON w.place = p.ordinality`;
}

const isSet = (place: number): string => `substr(w.mask, ${place + 1}, 1) = '1'`;

/** Gives the row of `key` other content, as a rule its key among it. @returns it as stored; null when there is no such row. */
export async function rekeyTargetRow(
  tx: Db,
  table: TargetTable,
  key: string,
  change: RowChange,
): Promise<RawRow | null> {
  const column = quote(keyColumn(table).name);
  const held = sql`SELECT ${sql.raw(`p.${column}`)} FROM ${populated(table, keyRows(table, [key]))}`;
  const [row] = await returning(tx, table, sql`${update(table, [change])} WHERE ${sql.raw(`r.${column}`)} = (${held})`);
  return row ?? null;
}

/**
 * From here on, or no longer, statements of this transaction are our own writes: the capture trigger passes over those that
 * we make, not over those that triggers of the user's make because of them.
 */
export async function markApplying(tx: Db, isApplying: boolean): Promise<void> {
  await queryRows(tx, sql`SELECT set_config('sync.applying', ${isApplying ? '1' : ''}, true)`);
}

const NONE: ReadonlySet<string> = new Set();

/** What every write of ours sets: the content, the stamps, and that the row is there. */
function assigned(table: TargetTable, without: ReadonlySet<string> = NONE): { names: string[]; given: string[] } {
  const content = table.contentProperties.filter((one) => !without.has(one)).map((one) => columnOf(table, one));
  const stamps = table.syncedAtProperties.map((property) => columnOf(table, property));
  const deletedAt = table.deletedAtProperty === null ? [] : [columnOf(table, table.deletedAtProperty)];
  return {
    names: [...content, ...stamps, ...deletedAt].map((column) => quote(column.name)),
    given: [
      ...content.map((column) => `p.${quote(column.name)}`),
      ...stamps.map(() => 'clock_timestamp()'),
      ...deletedAt.map(() => 'NULL'),
    ],
  };
}

/** Runs a write and gives the rows that it wrote, as they stood after triggers BEFORE it and before those AFTER it. */
async function returning(tx: Db, table: TargetTable, write: SQL): Promise<RawRow[]> {
  const rows = await queryRows<{ row: string }>(
    tx,
    sql`WITH written AS (${write} RETURNING ${sql.raw(values(table, 'r'))}) SELECT to_json(written)::text AS row FROM written`,
  );
  return rows.map(({ row }) => toRaw(table, row));
}

/** Columns by place: a property's name may be longer than an identifier can be. */
function values(table: TargetTable, alias: string): string {
  return contentColumns(table)
    .map(({ name, kind }, place) => {
      const column = `${alias}.${quote(name)}`;
      const isExact = kind === 'integer' || kind === 'decimal' || kind === 'text';
      return `${isExact ? `${column}::text` : column} AS c${place}`;
    })
    .join(', ');
}

const stamped = (table: TargetTable, alias: string): string =>
  table.deletedAtProperty === null
    ? 'false'
    : `${alias}.${quote(columnOf(table, table.deletedAtProperty).name)} IS NOT NULL`;

function toRaw(table: TargetTable, text: string): RawRow {
  const values: { readonly [column: string]: JsonValue } = JSON.parse(text);
  return Object.fromEntries(table.contentProperties.map((property, place) => [property, values[`c${place}`] ?? null]));
}
