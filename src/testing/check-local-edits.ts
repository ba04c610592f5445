import { isDeepStrictEqual } from 'node:util';
import type { Content } from '../model/observation.ts';
import type { Stream } from '../sync/stream.ts';
import type { TwoWay } from '../sync/two-way.ts';
import { missingRecords, wordsOfCounts } from './check-counts.ts';
import { livingRecords } from './check-equality.ts';
import { findLostEdits, type LocalEdit, wordsOfLostEdits } from './check-lost-edits.ts';
import { literal, quote } from './check-sql.ts';
import type { WaitingPushes } from './check-waiting.ts';
import type { World } from './check-world.ts';
import { type JsonObject, mergeJson } from './json.ts';
import type { Random } from './random.ts';
import type { SourceHistory } from './source-history.ts';
import { type Records, type StandInEntity, trimmed } from './stand-in.ts';

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
  /** What should have come of it and did not, in words. `waiting`: what of this entity waits for a person. */
  problems(waiting: readonly WaitingPushes[]): Promise<readonly string[]>;
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
  readonly history: SourceHistory;
  readonly own: StandInEntity;
  readonly random: Random;
};

/** Far from what is taken for a loop. */
const MAX_EDITS_OF_A_ROW = 3;
const MAX_PICKS = 20;

export function createLocalEditor(parts: Parts): LocalEditor {
  const { world, entity, stream, twoWay, records, history, own, random } = parts;
  const { target, mapper } = stream;
  const edits = new Map<string, number>();
  /** The last of each property, by record. */
  const last = new Map<string, Map<string, LocalEdit>>();
  const made: LocalEdit[] = [];
  const removed = new Map<string, string>();
  const counts = { updated: 0, created: 0, removed: 0 };
  const refused = new Set<string>();
  const table = `${quote(target.schema)}.${quote(target.name)}`;
  const columnOf = (property: string) => quote(target.columns[property]?.name ?? '');
  const count = (id: string) => edits.set(id, (edits.get(id) ?? 0) + 1);

  const contentOf = (record: unknown): Content | null => {
    const mapped = mapper.map(record);
    return mapped.kind === 'mapped' ? mapped.content : null;
  };
  const stamped = (record: JsonObject) => records.form.stamp(record, Date.now(), null);
  /** What a user might write, and how the source would show it. */
  const makeContent = (id: string) => {
    const record = own.makeRecord(id, random);
    const content = contentOf(stamped(record));
    const normal = contentOf(stamped(Object(mergeJson(record, (own.normalise ?? trimmed)(record)))));
    return content === null ? null : { content, normal: normal ?? content };
  };
  const editsOf = (row: { id: string; key: string } | null, made: Content, normal: Content): LocalEdit[] =>
    Object.entries(made).map(([property, value]) => ({
      id: row?.id ?? null,
      key: row?.key ?? null,
      property,
      values: [value, normal[property] ?? null],
      since: history.place(),
    }));
  /** A record that may be edited once more, and what its row holds. */
  const pick = (): { id: string; key: string; content: Content } | null => {
    const living = livingRecords(records).filter(([id]) => (edits.get(id) ?? 0) < MAX_EDITS_OF_A_ROW);
    if (living.length === 0) return null;
    for (let left = MAX_PICKS; left > 0; left--) {
      const [id, record] = living[random.whole(0, living.length - 1)] ?? ['', null];
      const content = contentOf(record);
      if (content !== null) return { id, key: String(content[target.keyProperty]), content };
    }
    return null;
  };
  /** Where a record was changed before its deletion could be sent, its row may come back: a conflict says so. */
  const stillThere = async (): Promise<ReadonlyMap<string, string>> => {
    const kept = await world.query(
      `SELECT external_id FROM sync.conflicts WHERE entity = ${literal(entity)} AND kind = 'deleted_here'`,
    );
    const living = new Set(livingRecords(records).map(([id]) => id));
    for (const { external_id } of kept) living.delete(String(external_id));
    return new Map([...removed].filter(([id]) => living.has(id)));
  };
  const keyIs = (key: string) => `t.${columnOf(target.keyProperty)}::text = ${literal(key)}`;

  return {
    entity,
    async update() {
      const picked = pick();
      const other = picked === null ? null : makeContent(picked.id);
      if (picked === null || other === null) return;
      const { id, key, content } = picked;
      const seen = history.statesOf(id, 0).map((record) => contentOf(stamped(record)) ?? {});
      const differing = newProperties(twoWay.writable, other.content, [content, ...seen]);
      const property = differing[random.whole(0, Math.max(0, differing.length - 1))];
      const value = property === undefined ? undefined : other.content[property];
      if (property === undefined || value === undefined) return;
      const row = literal(JSON.stringify({ [target.columns[property]?.name ?? '']: value }));
      // Before the statement: its push may be at the source before the statement is known to be done.
      const [edit] = editsOf(picked, { [property]: value }, other.normal);
      const written = await world.query(
        `UPDATE ${table} AS t SET ${columnOf(property)} = p.${columnOf(property)}
         FROM jsonb_populate_record(NULL::${table}, ${row}::jsonb) AS p
         WHERE ${keyIs(key)} AND to_jsonb(t.${columnOf(property)}) IS DISTINCT FROM to_jsonb(p.${columnOf(property)})
         RETURNING 1 AS one`,
      );
      if (written.length === 0 || edit === undefined) return;
      counts.updated += 1;
      count(id);
      last.set(id, (last.get(id) ?? new Map()).set(property, edit));
    },
    async create() {
      const { create } = twoWay.writes;
      const one = create === null ? null : makeContent(world.standIn.newId());
      if (create === null || one === null) return;
      const body = Object.fromEntries(
        [...twoWay.creatable].map((property) => [property, one.content[property] ?? null]),
      );
      const sent = Object.entries(body).filter(([, value]) => value !== null || create.nulls === 'send');
      const expected = editsOf(null, Object.fromEntries(sent), one.normal);
      const answer = await world.call('POST', `/records/${parts.integration}/${entity}`, body);
      if (answer.status < 300) {
        counts.created += 1;
        made.push(...expected);
      } else {
        refused.add(
          `POST /records/${parts.integration}/${entity}: ${String(Object(answer.body).detail ?? answer.status)}`,
        );
      }
    },
    async remove() {
      const picked = twoWay.localDeletes === 'push' ? pick() : null;
      if (picked === null) return;
      const gone = await world.query(`DELETE FROM ${table} AS t WHERE ${keyIs(picked.key)} RETURNING 1 AS one`);
      if (gone.length === 0) return;
      counts.removed += 1;
      count(picked.id);
      last.delete(picked.id);
      removed.set(picked.id, picked.key);
    },
    counts: () => ({ ...counts, refused: [...refused] }),
    async problems(waiting) {
      const edited = { entity, target, history, contentOf: (record: unknown) => contentOf(stamped(Object(record))) };
      const writes = world.standIn.source.writeCounts().byRecord[entity] ?? {};
      const done = { entity, edits, created: counts.created, stillThere: await stillThere(), writes, waiting };
      // What a record that was never made would hold is no edit of its own.
      const ofNewRows = missingRecords(done) > 0 ? [] : made;
      const all = [...[...last.values()].flatMap(valuesOf), ...ofNewRows];
      return [...wordsOfLostEdits(edited, await findLostEdits(world, edited, all), all), ...wordsOfCounts(done)];
    },
  };
}

/**
 * Properties of which none of the contents has this value. A row may still show what the record was a while ago, and to write
 * that into it is no edit, or takes one back: nothing needs to come of it.
 */
export const newProperties = (names: Iterable<string>, content: Content, seen: readonly Content[]): string[] =>
  [...names].filter((name) => !seen.some((one) => isDeepStrictEqual(one[name], content[name])));

const valuesOf = <Value>(map: ReadonlyMap<string, Value>): Value[] => [...map.values()];
