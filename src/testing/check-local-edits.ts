import { isDeepStrictEqual } from 'node:util';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import { findDamagedRows } from '../store/target.ts';
import type { Stream } from '../sync/stream.ts';
import type { TwoWay } from '../sync/two-way.ts';
import { livingRecords, quote } from './check-equality.ts';
import type { World } from './check-world.ts';
import type { Random } from './random.ts';
import type { Records, StandInEntity } from './stand-in.ts';

/** Edits rows of one two-way entity as its users would, and knows what should have come of it. */
export type LocalEditor = {
  readonly entity: string;
  /** Changes one property of a row by a statement. Nothing when no row can be changed. */
  update(): Promise<void>;
  /** Makes a row by the route; the id that it has until the source gives it another is the route's business. */
  create(): Promise<void>;
  /** Removes a row by a statement, where removals go to the source. */
  remove(): Promise<void>;
  /** What was done so far. */
  counts(): LocalCounts;
  /** Last edits whose value stands nowhere: neither in its row nor among the conflicts. */
  lostEdits(): Promise<readonly string[]>;
  /** Records with more writes than edits, in words. */
  excessWrites(): readonly string[];
};

export type LocalCounts = {
  readonly updated: number;
  readonly created: number;
  readonly removed: number;
  readonly refused: readonly string[];
};
type Parts = {
  readonly world: World;
  readonly integration: string;
  readonly entity: string;
  readonly stream: Stream;
  readonly twoWay: TwoWay;
  readonly records: Records;
  readonly own: StandInEntity;
  readonly random: Random;
};

/** Far from what is taken for a loop. */
const MAX_EDITS_OF_A_ROW = 3;
const MAX_PICKS = 20;

export function createLocalEditor(parts: Parts): LocalEditor {
  const { world, stream, twoWay, records, own, random } = parts;
  const { target, mapper } = stream;
  const edits = new Map<string, number>();
  const last = new Map<string, { property: string; value: JsonValue }>();
  const counts = { updated: 0, created: 0, removed: 0 };
  const refused = new Set<string>();
  const table = `${quote(target.schema)}.${quote(target.name)}`;
  const columnOf = (property: string) => quote(target.columns[property]?.name ?? '');
  const count = (id: string) => edits.set(id, (edits.get(id) ?? 0) + 1);

  const contentOf = (record: unknown): Content | null => {
    const mapped = mapper.map(record);
    return mapped.kind === 'mapped' ? mapped.content : null;
  };
  const makeContent = (id: string) => contentOf(records.form.stamp(own.makeRecord(id, random), Date.now(), null));
  /** A record that may be edited once more, and what its row holds. */
  const pick = (): { id: string; content: Content } | null => {
    const living = livingRecords(records).filter(([id]) => (edits.get(id) ?? 0) < MAX_EDITS_OF_A_ROW);
    if (living.length === 0) return null;
    for (let left = MAX_PICKS; left > 0; left--) {
      const [id, record] = living[random.whole(0, living.length - 1)] ?? ['', null];
      const content = contentOf(record);
      if (content !== null) return { id, content };
    }
    return null;
  };
  const keyIs = (content: Content) =>
    `t.${columnOf(target.keyProperty)}::text = ${literal(String(content[target.keyProperty]))}`;

  return {
    entity: parts.entity,
    async update() {
      const picked = pick();
      const other = picked === null ? null : makeContent(picked.id);
      if (picked === null || other === null) return;
      const { id, content } = picked;
      const differing = [...twoWay.writable].filter((name) => !isDeepStrictEqual(content[name], other[name]));
      const property = differing[random.whole(0, Math.max(0, differing.length - 1))];
      const value = property === undefined ? undefined : other[property];
      if (property === undefined || value === undefined) return;
      const row = literal(JSON.stringify({ [target.columns[property]?.name ?? '']: value }));
      const written = await world.query(
        `UPDATE ${table} AS t SET ${columnOf(property)} = p.${columnOf(property)}
         FROM jsonb_populate_record(NULL::${table}, ${row}::jsonb) AS p WHERE ${keyIs(content)} RETURNING 1 AS one`,
      );
      if (written.length === 0) return;
      counts.updated += 1;
      count(id);
      last.set(id, { property, value });
    },
    async create() {
      if (twoWay.writes.create === null) return;
      const made = makeContent(world.standIn.newId());
      const body = Object.fromEntries([...twoWay.creatable].map((property) => [property, made?.[property] ?? null]));
      const answer = await world.call('POST', `/records/${parts.integration}/${parts.entity}`, body);
      if (answer.status < 300) counts.created += 1;
      else
        refused.add(
          `POST /records/${parts.integration}/${parts.entity}: ${String(Object(answer.body).detail ?? answer.status)}`,
        );
    },
    async remove() {
      const picked = twoWay.localDeletes === 'push' ? pick() : null;
      if (picked === null) return;
      const gone = await world.query(`DELETE FROM ${table} AS t WHERE ${keyIs(picked.content)} RETURNING 1 AS one`);
      if (gone.length === 0) return;
      counts.removed += 1;
      count(picked.id);
      last.delete(picked.id);
    },
    counts: () => ({ ...counts, refused: [...refused] }),
    async lostEdits() {
      const kept = await world.query(
        `SELECT external_id, fields FROM sync.conflicts WHERE entity = ${literal(parts.entity)} AND external_id IS NOT NULL`,
      );
      const isKept = (id: string) => kept.some((conflict) => conflict.external_id === id);
      const lost: string[] = [];
      for (const [id, { property, value }] of last) {
        const content = contentOf(records.records.get(id)?.record ?? null);
        if (content === null || isKept(id)) continue;
        const narrow = { ...target, contentProperties: [property] };
        const damaged = await findDamagedRows(world.db, narrow, [{ ...content, [property]: value }]);
        if (damaged.length > 0) lost.push(`${id} in ${property}`);
      }
      return lost;
    },
    excessWrites() {
      const byRecord = world.standIn.source.writeCounts().byRecord[parts.entity] ?? {};
      const all = Object.entries(byRecord);
      const madeCount = all.reduce((sum, [, { created }]) => sum + created, 0);
      const excess = all.flatMap(([id, { executed, created }]) => {
        const allowed = (edits.get(id) ?? 0) + created;
        return executed > allowed ? [`${id}: ${executed} writes for ${allowed} edits`] : [];
      });
      return madeCount > counts.created ? [`${madeCount} records made for ${counts.created} rows`, ...excess] : excess;
    },
  };
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
