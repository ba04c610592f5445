import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Conflict, ConflictKind, ConflictOutcome, ConflictPolicy } from '../model/conflict.ts';
import type { StreamKey } from '../model/observation.ts';

export type ListedConflict = StreamKey & Conflict;

type ConflictRow = {
  id: string;
  integration: string;
  entity: string;
  external_id: string | null;
  target_key: string;
  kind: ConflictKind;
  fields: string[];
  base: string | null;
  local: string | null;
  remote: string | null;
  remote_version: string | null;
  policy: ConflictPolicy;
  outcome: ConflictOutcome | null;
  created_at: number;
  resolved_at: number | null;
  resolved_by: string | null;
};

const COLUMNS = sql.raw(`c.id::text AS id, c.integration, c.entity, c.external_id, c.target_key, c.kind, c.fields,
  c.base::text AS base, c.local::text AS local, c.remote::text AS remote, c.remote_version::text AS remote_version, c.policy,
  c.outcome, ${instantColumn('c.created_at')}, ${instantColumn('c.resolved_at')}, c.resolved_by`);

export type ConflictFilter = {
  readonly integration: string | null;
  readonly entity: string | null;
  readonly state: 'open' | 'closed' | null;
  /** Only those before this one in the list. */
  readonly before: string | null;
  readonly limit: number;
};

/** Conflicts, newest first. */
export async function listConflicts(db: Db, filter: ConflictFilter): Promise<ListedConflict[]> {
  const { integration, entity, state, before, limit } = filter;
  const rows = await queryRows<ConflictRow>(
    db,
    sql`SELECT ${COLUMNS} FROM sync.conflicts c
        WHERE (${integration}::text IS NULL OR c.integration = ${integration}) AND (${entity}::text IS NULL OR c.entity = ${entity})
          AND (${state}::text IS NULL OR (c.outcome IS NULL) = (${state} = 'open'))
          AND (${before}::uuid IS NULL OR (c.created_at, c.id) < (SELECT b.created_at, b.id FROM sync.conflicts b WHERE b.id = ${before}::uuid))
        ORDER BY c.created_at DESC, c.id DESC LIMIT ${limit}`,
  );
  return rows.map(toListed);
}

/** Null when there is none, or none any more. */
export async function readConflict(db: Db, id: string): Promise<ListedConflict | null> {
  const [row] = await queryRows<ConflictRow>(db, sql`SELECT ${COLUMNS} FROM sync.conflicts c WHERE c.id = ${id}::uuid`);
  return row === undefined ? null : toListed(row);
}

/** How many conflicts of each stream wait for a person. */
export async function countOpenConflicts(db: Db): Promise<(StreamKey & { readonly open: number })[]> {
  const rows = await queryRows<{ integration: string; entity: string; open: number }>(
    db,
    sql`SELECT integration, entity, count(*)::int AS open FROM sync.conflicts WHERE outcome IS NULL GROUP BY integration, entity`,
  );
  return rows.map(({ integration, entity, open }) => ({ integration, entity, open: Number(open) }));
}

const parse = (text: string | null): Conflict['base'] => (text === null ? null : JSON.parse(text));

const toListed = (row: ConflictRow): ListedConflict => ({
  id: row.id,
  integration: row.integration,
  entity: row.entity,
  externalId: row.external_id,
  targetKey: row.target_key,
  kind: row.kind,
  fields: row.fields,
  base: parse(row.base),
  local: parse(row.local),
  remote: parse(row.remote),
  remoteVersion: row.remote_version === null ? null : BigInt(row.remote_version),
  policy: row.policy,
  outcome: row.outcome,
  createdAt: row.created_at,
  resolvedAt: row.resolved_at,
  resolvedBy: row.resolved_by,
});
