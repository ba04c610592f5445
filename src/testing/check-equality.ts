import type { Content } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';
import { findDamagedRows, readRow } from '../store/target.ts';
import type { Stream } from '../sync/stream.ts';
import { quote } from './check-sql.ts';
import type { World } from './check-world.ts';
import type { Records } from './stand-in.ts';

/** How one table differs from its records. */
export type EntityDifference = {
  readonly entity: string;
  readonly records: number;
  readonly rows: number;
  /** Ids of records without a row. */
  readonly missing: readonly string[];
  /** Keys of rows without a record. */
  readonly surplus: readonly string[];
  readonly different: readonly { readonly id: string; readonly properties: readonly string[] }[];
};

export const isEqual = ({ missing, surplus, different }: EntityDifference): boolean =>
  missing.length + surplus.length + different.length === 0;

const PAGE = 200;

/** Records whose conflict waits for a person, by entity: their sides may differ. With `mayPark` those of parked pushes too. */
async function readOpen({ query }: World, mayPark: boolean): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const open = new Map<string, Set<string>>();
  const rows = await query(`
    SELECT entity, external_id, target_key FROM sync.conflicts WHERE outcome IS NULL
    UNION SELECT entity, external_id, target_key FROM sync.outbox_pushes WHERE state = 'parked' AND ${mayPark}`);
  for (const { entity, external_id, target_key } of rows) {
    const ids = open.get(String(entity)) ?? new Set();
    if (external_id !== null) ids.add(String(external_id));
    open.set(String(entity), ids.add(String(target_key)));
  }
  return open;
}

/** Compares every record with its row, as the mapping says what the row must hold and the database what is equal. */
export async function compareAll(
  world: World,
  { mayPark }: { readonly mayPark: boolean },
): Promise<readonly EntityDifference[]> {
  const differences: EntityDifference[] = [];
  const open = await readOpen(world, mayPark);
  for (const [entity, stream] of world.streams) {
    const records = world.standIn.records.get(entity);
    if (records !== undefined)
      differences.push(await compareEntity(world, { entity, stream, records, open: open.get(entity) ?? new Set() }));
  }
  return differences;
}

type Compared = { entity: string; stream: Stream; records: Records; open: ReadonlySet<string> };

async function compareEntity(world: World, { entity, stream, records, open }: Compared): Promise<EntityDifference> {
  const { target, mapper } = stream;
  const contents = new Map<string, Content>();
  for (const [id, record] of livingRecords(records)) {
    const mapped = mapper.map(record);
    if (mapped.kind === 'mapped' && !mapped.isDeleted) contents.set(id, mapped.content);
  }
  const missing: string[] = [];
  const different: { id: string; properties: readonly string[] }[] = [];
  const all = [...contents];
  for (let from = 0; from < all.length; from += PAGE) {
    const page = all.slice(from, from + PAGE);
    const damaged = await findDamagedRows(
      world.db,
      target,
      page.map(([, content]) => content),
    );
    for (const place of damaged) {
      const [id = '', content = {}] = page[place] ?? [];
      if (open.has(id)) continue;
      const properties = await differingProperties(world, target, content);
      if (properties === null) missing.push(id);
      else different.push({ id, properties });
    }
  }
  const keys = new Set([...contents.values()].map((content) => String(content[target.keyProperty])));
  const rows = await livingKeys(world, target);
  return {
    entity,
    records: contents.size,
    rows: rows.length,
    missing,
    surplus: rows.filter((key) => !keys.has(key) && !open.has(key)),
    different,
  };
}

/** Null when there is no such row. */
async function differingProperties(world: World, target: TargetTable, content: Content): Promise<string[] | null> {
  const row = await readRow(world.db, target, String(content[target.keyProperty]));
  if (row === null) return null;
  const differing: string[] = [];
  for (const property of target.contentProperties) {
    const narrow = { ...target, contentProperties: [property] };
    if ((await findDamagedRows(world.db, narrow, [content])).length > 0) differing.push(property);
  }
  return differing;
}

const MAX_LISTED = 100_000;

export function livingRecords({ records, isMarked }: Records): (readonly [id: string, record: unknown])[] {
  const page = records.page({ order: 'id', since: null, after: null, skip: 0, limit: MAX_LISTED });
  return page.entries.flatMap(({ id, record }) => (isMarked(id) ? [] : [[id, record] as const]));
}

async function livingKeys(world: World, target: TargetTable): Promise<string[]> {
  const nameOf = (property: string) => quote(target.columns[property]?.name ?? '');
  const kept = target.deletedAtProperty === null ? '' : ` WHERE ${nameOf(target.deletedAtProperty)} IS NULL`;
  const table = `${quote(target.schema)}.${quote(target.name)}`;
  const rows = await world.query(
    `SELECT ${nameOf(target.keyProperty)}::text AS key FROM ${table}${kept} LIMIT ${MAX_LISTED}`,
  );
  return rows.map((row) => String(row.key));
}
