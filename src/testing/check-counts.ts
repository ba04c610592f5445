import type { WaitingPushes } from './check-waiting.ts';
import type { WriteCount } from './write-counts.ts';

/** What was done to the rows of one entity, and what the source did for it. */
export type DoneHere = {
  readonly entity: string;
  /** Edits of rows by the record's id, removals included. */
  readonly edits: ReadonlyMap<string, number>;
  /** Rows that were made. */
  readonly created: number;
  /** Keys of rows that were removed, by the record's id, where the record is still there and no conflict tells why. */
  readonly stillThere: ReadonlyMap<string, string>;
  /** Writes by the record's id. */
  readonly writes: Readonly<Record<string, WriteCount>>;
  readonly waiting: readonly WaitingPushes[];
};

/** Rows that were made, and of which no record was made is a push still to bring one. */
export const missingRecords = ({ created, writes, waiting }: DoneHere): number =>
  created - madeRecords(writes) - keysOf(waiting, 'create').size;

/** Too many writes, and too few: each edit is written once, each row is one record, each removal one deletion. */
export function wordsOfCounts(done: DoneHere): readonly string[] {
  const { entity, edits, created, stillThere, writes, waiting } = done;
  const made = madeRecords(writes);
  const words = Object.entries(writes).flatMap(([id, one]) => {
    const allowed = (edits.get(id) ?? 0) + one.created;
    return one.executed > allowed ? [`${entity}: ${id}: ${one.executed} writes for ${allowed} edits.`] : [];
  });
  if (made > created) words.push(`${entity}: ${made} records made for ${created} rows.`);
  if (missingRecords(done) > 0) {
    words.push(
      `${entity}: ${made} records made for ${created} rows: the others came to nothing; correct \`write.create\`.`,
    );
  }
  const onTheWay = keysOf(waiting, 'delete');
  const [first, ...others] = [...stillThere].flatMap(([id, key]) => (onTheWay.has(key) ? [] : [id]));
  if (first !== undefined) {
    words.push(
      `${entity}: ${others.length + 1} rows were removed here whose records are still there, such as ${first}; correct \`write.delete\`.`,
    );
  }
  return words;
}

const madeRecords = (writes: DoneHere['writes']): number =>
  Object.values(writes).reduce((sum, { created }) => sum + created, 0);

const keysOf = (waiting: readonly WaitingPushes[], op: string): ReadonlySet<string> =>
  new Set(waiting.flatMap((pushes) => (pushes.op === op ? pushes.keys : [])));
