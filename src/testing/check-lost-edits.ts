import { isDeepStrictEqual } from 'node:util';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';
import { literal, quote } from './check-sql.ts';
import type { World } from './check-world.ts';
import type { SourceHistory, SourceWrite } from './source-history.ts';

/** One property as a user of the database left it. */
export type LocalEdit = {
  /** Null for a row that was made here: the source gives the id. */
  readonly id: string | null;
  /** The row's key; null with the id. */
  readonly key: string | null;
  readonly property: string;
  /** What was written, and what the source makes of it. */
  readonly values: readonly JsonValue[];
  /** Where the source's history stood then. */
  readonly since: number;
};

export type EditedEntity = {
  readonly entity: string;
  readonly target: TargetTable;
  readonly history: SourceHistory;
  /** What a record is in the row; null where the mapping takes none. */
  readonly contentOf: (record: unknown) => Content | null;
};

/**
 * Edits whose value nobody has: it never stood in the record from then on, it does not stand in the row, and no conflict
 * keeps it. A conflict over a value of which the source made nothing does not count as keeping it. What the source itself
 * changed later is no loss.
 */
export async function findLostEdits(
  world: World,
  edited: EditedEntity,
  edits: readonly LocalEdit[],
): Promise<readonly LocalEdit[]> {
  const kept = await world.query(
    `SELECT external_id, target_key, kind, base, local, remote FROM sync.conflicts
      WHERE entity = ${literal(edited.entity)} AND local IS NOT NULL`,
  );
  const lost: LocalEdit[] = [];
  for (const property of new Set(edits.map((edit) => edit.property))) {
    const own = edits.filter((edit) => edit.property === property);
    const asked = own.map((edit) => ({
      key: edit.key,
      values: edit.values,
      found: [...seenAtSource(edited, edit), ...keptOf(kept, edit)],
    }));
    const places = await world.query(nowhereSql(edited.target, property, asked));
    for (const { place } of places) {
      const edit = own[Number(place) - 1];
      if (edit !== undefined) lost.push(edit);
    }
  }
  return lost;
}

function seenAtSource({ history, contentOf }: EditedEntity, { id, property, since }: LocalEdit): JsonValue[] {
  const records = id === null ? madeSince(history, since) : history.statesOf(id, since);
  return records.flatMap((record) => contentOf(record)?.[property] ?? []);
}

const madeSince = (history: SourceHistory, since: number) =>
  history.writesOf(null, since).flatMap(({ before, after }) => (before === null ? [after] : []));

function keptOf(conflicts: readonly Record<string, unknown>[], { id, key, property }: LocalEdit): JsonValue[] {
  return conflicts.flatMap((conflict) => {
    const isOwn = id !== null && (conflict.external_id === id || conflict.target_key === key);
    const sideOf = (side: unknown): JsonValue | undefined => Object(side)[property];
    const value = sideOf(conflict.local);
    // Both sides changed, says the conflict, and the source did not: it made nothing of what it was sent, a mistake to be told.
    const isIgnored =
      conflict.kind === 'both_changed' && isDeepStrictEqual(sideOf(conflict.remote), sideOf(conflict.base));
    return isOwn && value !== undefined && !isIgnored ? [value] : [];
  });
}

type Asked = Pick<LocalEdit, 'key' | 'values'> & { readonly found: readonly JsonValue[] };

/** The database says what is equal, as its column holds it: places of the edits of which nothing is. */
function nowhereSql(target: TargetTable, property: string, asked: readonly Asked[]): string {
  const table = `${quote(target.schema)}.${quote(target.name)}`;
  const nameOf = (name: string) => target.columns[name]?.name ?? '';
  const column = quote(nameOf(property));
  const asColumn = (value: string) =>
    `jsonb_populate_record(NULL::${table}, jsonb_build_object(${literal(nameOf(property))}, ${value}))`;
  return `
    SELECT e.place FROM jsonb_array_elements(${literal(JSON.stringify(asked))}::jsonb) WITH ORDINALITY AS e(edit, place)
    WHERE NOT EXISTS (
      SELECT 1 FROM jsonb_array_elements(e.edit -> 'values') AS v(value)
      CROSS JOIN LATERAL ${asColumn('v.value')} AS written
      CROSS JOIN LATERAL (
        SELECT to_jsonb(seen.${column}) AS value
          FROM jsonb_array_elements(e.edit -> 'found') AS f(value) CROSS JOIN LATERAL ${asColumn('f.value')} AS seen
        UNION ALL SELECT to_jsonb(t.${column}) FROM ${table} AS t
          WHERE t.${quote(nameOf(target.keyProperty))}::text = e.edit ->> 'key'
      ) AS found
      WHERE found.value IS NOT DISTINCT FROM to_jsonb(written.${column}))`;
}

/**
 * What became of lost edits, a line for each property and fate: entity, field and the way out. `edits` are all there were:
 * what a write changed besides may have been another edit of the same row.
 */
export function wordsOfLostEdits(
  edited: EditedEntity,
  lost: readonly LocalEdit[],
  edits: readonly LocalEdit[],
): readonly string[] {
  const ids = new Map<string, (string | null)[]>();
  for (const edit of lost) {
    const besides = new Set(edits.filter(({ id }) => id === edit.id).map(({ property }) => property));
    const fate = `\`${edit.property}\`${edit.id === null ? FATE_OF_NEW : fateOf(edited, edit, besides)}`;
    ids.set(fate, [...(ids.get(fate) ?? []), edit.id]);
  }
  return [...ids].map(([fate, [first, ...others]]) => {
    const count = others.length === 0 ? 'the edit' : `${others.length + 1} edits`;
    const example = first === null ? '' : ` (${others.length === 0 ? '' : 'such as '}of ${first})`;
    return `${edited.entity}: lost ${count}${example} of ${fate}.`;
  });
}

const OTHER_VALUE =
  'correct the way back of its steps (`encode`), or say in `normalise` of the check what the source makes of it';
const FATE_OF_NEW = ` in rows made here: the records made of them hold other values; correct \`write.create\` (\`bodyAt\`, \`body\`), name it in \`write.readOnly\`, or ${OTHER_VALUE}`;

function fateOf(
  { history, contentOf }: EditedEntity,
  { id, property, since }: LocalEdit,
  besides: ReadonlySet<string>,
): string {
  const writes = history.writesOf(id, since);
  if (writes.length === 0) {
    return ': no write of the record came to the source; does the way back of its steps turn an edit into what was there before?';
  }
  const changed = changedBy(writes, contentOf);
  if (changed.has(property)) return `: the source was sent another value; ${OTHER_VALUE}`;
  const others = [...changed].filter((name) => !besides.has(name)).map((name) => `\`${name}\``);
  if (others.length > 0) {
    return `: the write changed ${others.join(', ')} instead; correct the path of its \`field\` or the way back of its steps`;
  }
  return ': the source took the write and left it as it was; name it in `write.readOnly`, or correct `write.update` (`path`, `bodyAt`, `body`)';
}

function changedBy(writes: readonly SourceWrite[], contentOf: EditedEntity['contentOf']): ReadonlySet<string> {
  const changed = new Set<string>();
  for (const { before, after } of writes) {
    const was = contentOf(before) ?? {};
    for (const [property, value] of Object.entries(contentOf(after) ?? {})) {
      if (JSON.stringify(was[property]) !== JSON.stringify(value)) changed.add(property);
    }
  }
  return changed;
}
