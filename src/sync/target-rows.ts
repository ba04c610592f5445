import type { Db } from '../db/connect.ts';
import { StatementError } from '../db/errors.ts';
import type { Content } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';
import { removeRows } from '../store/target.ts';
import {
  insertTargetRows,
  markApplying,
  type RowChange,
  readTargetRows,
  rekeyTargetRow,
  updateTargetRows,
} from '../store/target-rows.ts';
import { isSame } from './merge.ts';
import type { RecordTx } from './record-store.ts';
import { prepareRowReader } from './row-reader.ts';

/** `there`: as locked or written, with its content. `stamped`: kept, but marked as deleted. */
type Held = { readonly kind: 'there'; readonly content: Content } | { readonly kind: 'missing' | 'stamped' };

/** SQLSTATE of a lock that could not be had in time: whoever it befalls tries again later. */
const LOCK_NOT_AVAILABLE = '55P03';

/** The rows of the target within one transaction, each locked before it is written. */
export function targetRows(
  tx: Db,
  table: TargetTable,
): Pick<RecordTx, 'readRows' | 'takenKeys' | 'lockRows' | 'writeRows' | 'removeRows' | 'rekeyRow'> {
  const toContent = prepareRowReader(table);
  const held = new Map<string, Held>();
  const keyOf = (content: Content): string => String(content[table.keyProperty]);

  async function hold(keys: readonly string[]): Promise<void> {
    const fresh = [...new Set(keys)].filter((key) => !held.has(key));
    if (fresh.length === 0) return;
    const found = await readTargetRows(tx, table, fresh, 'locked');
    for (const key of fresh) held.set(key, { kind: 'missing' });
    for (const { key, row, isStamped } of found) {
      held.set(key, isStamped ? { kind: 'stamped' } : { kind: 'there', content: toContent(row) });
    }
  }

  /** Our own writes are not captured; what follows in the caller's transaction is again. */
  async function applying<T>(work: () => Promise<T>): Promise<T> {
    await markApplying(tx, true);
    const done = await work();
    await markApplying(tx, false);
    return done;
  }

  /**
   * Rows that were not inserted: a trigger of the user's kept them out, or somebody has put one there since we looked. What
   * that one holds must be seen before anything is written over it.
   */
  async function assertNoneAppeared(keys: readonly string[]): Promise<void> {
    for (const key of keys) held.delete(key);
    await hold(keys);
    if (keys.some((key) => held.get(key)?.kind !== 'missing')) {
      throw new StatementError(LOCK_NOT_AVAILABLE, { table: table.name });
    }
  }

  /** None where the row holds all that already. Of a stamped one nobody has read what it holds. */
  function changeOf(key: string, content: Content): RowChange[] {
    const row = held.get(key);
    const now = row?.kind === 'there' ? row.content : null;
    const changed = table.contentProperties.filter(
      (property) => now === null || !isSame(content[property] ?? null, now[property] ?? null),
    );
    return changed.length === 0 ? [] : [{ content, changed }];
  }

  function remember(key: string, content: Content): void {
    held.set(key, { kind: 'there', content });
  }

  return {
    async readRows(keys) {
      const rows = await readTargetRows(tx, table, [...new Set(keys)], 'unlocked');
      return new Map(rows.flatMap(({ key, row, isStamped }) => (isStamped ? [] : [[key, toContent(row)] as const])));
    },

    async takenKeys(keys) {
      await hold(keys);
      return new Set(keys.filter((key) => held.get(key)?.kind !== 'missing'));
    },

    async lockRows(keys) {
      await hold(keys);
      return contentsOf(held, keys);
    },

    async writeRows(contents) {
      if (contents.length === 0) return new Map();
      const keys = contents.map(keyOf);
      await hold(keys);
      const isNew = (content: Content): boolean => held.get(keyOf(content))?.kind === 'missing';
      const fresh = contents.filter(isNew);
      const written = await applying(async () => [
        ...(await updateTargetRows(
          tx,
          table,
          contents.flatMap((content) => (isNew(content) ? [] : changeOf(keyOf(content), content))),
        )),
        ...(await insertTargetRows(tx, table, fresh)),
      ]);
      for (const row of written) {
        const content = toContent(row);
        remember(keyOf(content), content);
      }
      await assertNoneAppeared(fresh.filter(isNew).map(keyOf));
      return contentsOf(held, keys);
    },

    async removeRows(keys) {
      if (keys.length === 0) return;
      await applying(() => removeRows(tx, table, keys));
      for (const key of keys) held.set(key, { kind: table.deletedAtProperty === null ? 'missing' : 'stamped' });
    },

    async rekeyRow(key, content) {
      await hold([key]);
      const [change = { content, changed: [] }] = changeOf(key, content);
      const row = await applying(() => rekeyTargetRow(tx, table, key, change));
      held.set(key, { kind: 'missing' });
      if (row === null) return null;
      const stored = toContent(row);
      remember(keyOf(stored), stored);
      return stored;
    },
  };
}

function contentsOf(held: ReadonlyMap<string, Held>, keys: readonly string[]): Map<string, Content> {
  const contents = new Map<string, Content>();
  for (const key of keys) {
    const row = held.get(key);
    if (row?.kind === 'there') contents.set(key, row.content);
  }
  return contents;
}
