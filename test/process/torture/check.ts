import type postgres from 'postgres';
import type { Editor, LocalWrite } from './edits.ts';
import type { History, Item, SourceProcess, Writes } from './source-client.ts';

/** What has been broken, in words; must be empty. */
export type Violations = string[];

const MAX_TOLD = 12;

const told = (what: string, all: readonly string[]): Violations =>
  all.length === 0
    ? []
    : [`${what}: ${all.length}\n  ${all.slice(0, MAX_TOLD).join('\n  ')}${all.length > MAX_TOLD ? '\n  …' : ''}`];

const FIELDS = ['ref', 'name', 'amount', 'note', 'label'] as const;

/** I1: the table equals the source, record by record. `living`: records that the source has, and no others. */
export async function checkEqual(
  sql: postgres.Sql,
  source: SourceProcess,
  { living }: { readonly living: boolean },
): Promise<Violations> {
  const rows = await sql<Item[]>`SELECT external_id AS id, ref, name, amount, note, label FROM torture_items`;
  const byId = new Map(rows.map((row) => [row.id, row]));
  const truth = await source.truth();
  const differing = truth.flatMap((record) => {
    const row = byId.get(record.id);
    byId.delete(record.id);
    if (row === undefined) return [`${record.id} (${record.ref}) has no row`];
    const fields = FIELDS.filter((field) => row[field] !== record[field]);
    return fields.map(
      (field) => `${record.id} (${record.ref}) ${field}: the row has ${row[field]}, the source ${record[field]}`,
    );
  });
  const left = living ? [] : [...byId.values()].map(({ id, ref }) => `${id} (${ref}) has no record at the source`);
  return told('I1: the table does not equal the source', [...differing, ...left]);
}

/** Nothing waits, and nothing was given up. */
export async function checkSettled(sql: postgres.Sql): Promise<Violations> {
  const counts = await sql<{ what: string; count: number }[]>`
    SELECT 'captured edits' AS what, count(*)::int AS count FROM sync.local_changes
    UNION ALL SELECT 'pushes ' || state || coalesce(' ' || park_reason || ' ' || coalesce(error_code, ''), ''), count(*)::int
      FROM sync.outbox_pushes WHERE state <> 'done' GROUP BY 1
    UNION ALL SELECT 'hints', count(*)::int FROM sync.hints
    UNION ALL SELECT 'open conflicts', count(*)::int FROM sync.conflicts WHERE outcome IS NULL
    UNION ALL SELECT 'dead letters ' || error_code, count(*)::int FROM sync.dead_letters WHERE state = 'open' GROUP BY 1
    UNION ALL SELECT 'pending tokens', count(*)::int FROM sync.change_tokens WHERE state = 'pending'`;
  return told(
    'something is left',
    counts.filter(({ count }) => count > 0).map(({ what, count }) => `${count} ${what}`),
  );
}

/** I3: each delivery that was answered 2xx is kept and worked off. */
export async function checkAcknowledged(sql: postgres.Sql, acknowledged: ReadonlySet<string>): Promise<Violations> {
  const rows = await sql<{ id: string }[]>`
    SELECT delivery_id AS id FROM sync.inbox_deliveries WHERE state IN ('applied', 'skipped')`;
  const kept = new Set(rows.map(({ id }) => id));
  return told(
    'I3: acknowledged deliveries that were not worked off',
    [...acknowledged].filter((id) => !kept.has(id)),
  );
}

/** I7 and I8: no more writes at the source than edits here, none twice under its key, no record made twice. */
export function checkWrites(writes: Writes, history: History, allowed: Editor['allowed']): Violations {
  const refOf = new Map(history.states.map(({ id, ref }) => [id, ref]));
  const tooMany = Object.entries(writes.byRecord.items).flatMap(([id, { executed }]) => {
    const most = allowed.get(refOf.get(id) ?? '') ?? 0;
    return executed > most ? [`${id} (${refOf.get(id)}): ${executed} writes for ${most} edits`] : [];
  });
  const repeated = Object.entries(writes.byKey).flatMap(([key, { executed }]) =>
    executed > 1 ? [`${key}: ${executed} times`] : [],
  );
  const doubled = Object.entries(history.made).flatMap(([ref, count]) => (count > 1 ? [`${ref}: ${count}`] : []));
  return [
    ...told('I7: more writes than edits', tooMany),
    ...told('I7: one key carried out twice', repeated),
    ...told('I8: records made twice', doubled),
  ];
}

/** I9: each value that was written here reached the source, or was overwritten by a later edit, or is kept as a conflict. */
export async function checkKept(
  sql: postgres.Sql,
  history: History,
  writes: readonly LocalWrite[],
): Promise<Violations> {
  const kept = await sql<{ text: string }[]>`
    SELECT local::text AS text FROM sync.conflicts WHERE local IS NOT NULL
    UNION ALL SELECT snapshot::text FROM sync.outbox_pushes WHERE state = 'parked' AND snapshot IS NOT NULL`;
  const conflicts = kept.map(({ text }) => text).join('\n');
  const reached = new Set(
    history.states.flatMap((state) => FIELDS.map((field) => `${state.ref}|${field}|${state[field]}`)),
  );
  const lastAt = new Map<string, number>();
  for (const [place, { ref, field, value }] of writes.entries()) {
    lastAt.set(`${ref}|${field}`, place);
    if (field === 'row' && value === null) lastAt.set(ref, place);
  }
  const lost = writes.flatMap(({ ref, field, value, isCertain }, place) => {
    if (!isCertain) return [];
    const isOver = (lastAt.get(`${ref}|${field}`) ?? 0) > place || (lastAt.get(ref) ?? -1) >= place;
    if (isOver) return [];
    if (field === 'row') return (history.made[ref] ?? 0) > 0 || conflicts.includes(ref) ? [] : [`${ref} was inserted`];
    const text = String(value).trim();
    if (reached.has(`${ref}|${field}|${text}`) || conflicts.includes(text)) return [];
    return [`${ref} ${field} ${text}`];
  });
  return told('I9: edits that were lost', lost);
}
