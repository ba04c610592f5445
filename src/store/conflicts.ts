import { sql } from 'drizzle-orm';
import type { Db } from '../db/connect.ts';
import { instantColumn } from '../db/instants.ts';
import { queryRows } from '../db/query.ts';
import type { Conflict, ConflictKind, ConflictOutcome, ConflictPolicy, NewConflict } from '../model/conflict.ts';
import type { Instant } from '../model/instant.ts';
import type { StreamKey } from '../model/observation.ts';

type ConflictRow = {
  id: string;
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
  created_at: Instant;
  resolved_at: Instant | null;
  resolved_by: string | null;
};

const COLUMNS =
  sql.raw(`id::text AS id, external_id, target_key, kind, fields, base::text AS base, local::text AS local,
  remote::text AS remote, remote_version::text AS remote_version, policy, outcome, ${instantColumn('created_at')},
  ${instantColumn('resolved_at')}, resolved_by`);

/** Conflicts of these rows that wait for a person, by the row's key. */
export async function readOpenConflicts(
  db: Db,
  key: StreamKey,
  targetKeys: readonly string[],
): Promise<Map<string, Conflict>> {
  if (targetKeys.length === 0) return new Map();
  const rows = await queryRows<ConflictRow>(
    db,
    sql`SELECT ${COLUMNS} FROM sync.conflicts
        WHERE integration = ${key.integration} AND entity = ${key.entity} AND outcome IS NULL
          AND target_key = ANY(${sql.param(targetKeys)}::text[])`,
  );
  return new Map(rows.map((row) => [row.target_key, toConflict(row)]));
}

/** Who decides a conflict that needs no person. */
const BY_POLICY = 'policy';

/** Keeps what met. An open one of a row that has one already takes its place. At most one open one a row may be given. */
export async function saveConflicts(tx: Db, key: StreamKey, conflicts: readonly NewConflict[]): Promise<void> {
  if (conflicts.length === 0) return;
  const rows = conflicts.map((conflict) => ({
    external_id: conflict.externalId,
    target_key: conflict.targetKey,
    kind: conflict.kind,
    fields: conflict.fields,
    base: conflict.base,
    local: conflict.local,
    remote: conflict.remote,
    remote_version: conflict.remoteVersion?.toString() ?? null,
    policy: conflict.policy,
    outcome: conflict.outcome,
  }));
  await queryRows(
    tx,
    sql`INSERT INTO sync.conflicts AS c (integration, entity, external_id, target_key, kind, fields, base, local, remote,
                                         remote_version, policy, outcome, resolved_at, resolved_by)
        SELECT ${key.integration}, ${key.entity}, n.external_id, n.target_key, n.kind, n.fields, n.base, n.local, n.remote,
               n.remote_version, n.policy, n.outcome,
               CASE WHEN n.outcome IS NOT NULL THEN clock_timestamp() END,
               CASE WHEN n.outcome IS NOT NULL THEN ${BY_POLICY}::text END
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          AS n(external_id text, target_key text, kind text, fields text[], base jsonb, local jsonb, remote jsonb,
               remote_version numeric, policy text, outcome text)
        ON CONFLICT (integration, entity, target_key) WHERE outcome IS NULL DO UPDATE
        SET external_id = excluded.external_id, kind = excluded.kind, fields = excluded.fields, base = excluded.base,
            local = excluded.local, remote = excluded.remote, remote_version = excluded.remote_version, policy = excluded.policy`,
  );
}

/** Ends an open conflict. One that has ended already stays as it is. @returns whether it was open. */
export async function endConflict(
  tx: Db,
  key: StreamKey,
  end: { readonly id: string; readonly outcome: ConflictOutcome; readonly by: string },
): Promise<boolean> {
  const rows = await queryRows(
    tx,
    sql`UPDATE sync.conflicts SET outcome = ${end.outcome}, resolved_at = clock_timestamp(), resolved_by = ${end.by}
        WHERE id = ${end.id}::uuid AND integration = ${key.integration} AND entity = ${key.entity} AND outcome IS NULL
        RETURNING 1 AS one`,
  );
  return rows.length > 0;
}

const toConflict = (row: ConflictRow): Conflict => ({
  id: row.id,
  externalId: row.external_id,
  targetKey: row.target_key,
  kind: row.kind,
  fields: row.fields,
  base: row.base === null ? null : JSON.parse(row.base),
  local: row.local === null ? null : JSON.parse(row.local),
  remote: row.remote === null ? null : JSON.parse(row.remote),
  remoteVersion: row.remote_version === null ? null : BigInt(row.remote_version),
  policy: row.policy,
  outcome: row.outcome,
  createdAt: row.created_at,
  resolvedAt: row.resolved_at,
  resolvedBy: row.resolved_by,
});
