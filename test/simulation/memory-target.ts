import type { Content } from '../../src/model/observation.ts';
import type { RecordTx } from '../../src/sync/record-store.ts';
import { lockTimeout, type MemoryDeps, type Recording, uniqueViolation } from './memory-store.ts';
import { isSameContent, keyOf, PROPERTIES } from './shape.ts';

const BLANK: Content = Object.fromEntries(PROPERTIES.map((name) => [name, null]));

/** The user's table, with what our own writes of it look like to its triggers. */
export function targetOf(
  { tables, clock, table, stream }: MemoryDeps,
  recording: Recording,
  onLock: () => void,
): Pick<
  RecordTx,
  'readRows' | 'takenKeys' | 'lockRows' | 'writeRows' | 'removeRows' | 'rekeyRow' | 'takeLocalChanges'
> {
  const assertFree = (targetKey: string): void => {
    if (table.isHeld(targetKey)) throw lockTimeout();
  };

  /** What is mapped of a row. */
  function shown(row: Content): Content {
    const { contentProperties } = stream().target;
    if (contentProperties.length === PROPERTIES.length) return row;
    return Object.fromEntries(contentProperties.map((name) => [name, row[name] ?? null]));
  }

  function put(targetKey: string, content: Content, before: Content | undefined): Content {
    const stored = table.store(content);
    tables.rows.set(targetKey, { ...BLANK, ...before, ...stored });
    recording.written.add(targetKey);
    const edited = table.afterOurWrite?.(stored) ?? null;
    if (edited !== null) {
      tables.rows.set(targetKey, edited);
      tables.changes.set(tables.nextId(), { targetKey, op: 'U', at: clock.read() });
    }
    return stored;
  }

  return {
    async readRows(targetKeys) {
      return new Map(
        targetKeys.flatMap((key) => {
          const row = tables.rows.get(key);
          return row === undefined ? [] : [[key, shown(row)] as const];
        }),
      );
    },
    async takenKeys(targetKeys) {
      onLock();
      const taken = targetKeys.filter((key) => tables.rows.get(key) !== undefined);
      for (const key of taken) assertFree(key);
      return new Set(taken);
    },
    async lockRows(targetKeys) {
      onLock();
      const found = new Map<string, Content>();
      for (const key of [...targetKeys].sort()) {
        const row = tables.rows.get(key);
        if (row === undefined) continue;
        assertFree(key);
        found.set(key, shown(row));
      }
      return found;
    },
    async writeRows(contents) {
      const written = new Map<string, Content>();
      for (const content of contents) {
        const key = keyOf(content);
        const row = tables.rows.get(key);
        if (row !== undefined && isSameContent(shown(row), table.store(content))) written.set(key, shown(row));
        else if (row !== undefined || !table.keepsOut(content)) {
          assertFree(key);
          written.set(key, put(key, content, row));
        }
      }
      return written;
    },
    async removeRows(targetKeys) {
      for (const key of targetKeys) {
        if (tables.rows.get(key) === undefined) continue;
        assertFree(key);
        tables.rows.remove(key);
        recording.written.add(key);
      }
    },
    async rekeyRow(targetKey, content) {
      const row = tables.rows.get(targetKey);
      if (row === undefined) return null;
      assertFree(targetKey);
      const key = keyOf(content);
      if (key !== targetKey && tables.rows.get(key) !== undefined) throw uniqueViolation('customers_pkey');
      tables.rows.remove(targetKey);
      recording.written.add(targetKey);
      return put(key, content, row);
    },
    async takeLocalChanges(limit) {
      const taken = [...tables.changes.rows].slice(0, limit);
      for (const [id] of taken) tables.changes.remove(id);
      return taken.map(([, change]) => change);
    },
  };
}

/** A statement of the user's own: captured where the trigger is not switched off, and never kept from happening by us. */
export function editRow(
  { tables, clock, table }: Pick<MemoryDeps, 'tables' | 'clock' | 'table'>,
  { targetKey, content, isCaptured }: { targetKey: string; content: Content | null; isCaptured: boolean },
): void {
  const before = tables.rows.get(targetKey);
  const after = content === null ? null : table.store(content);
  if (after === null) tables.rows.remove(targetKey);
  else tables.rows.set(targetKey, after);
  // As the real trigger does it: a statement of one row that changes none of its values is no edit.
  const isEdit = before === undefined || after === null || !isSameContent(before, after);
  if (!isCaptured || !isEdit) return;
  const op = after === null ? 'D' : before === undefined ? 'I' : 'U';
  tables.changes.set(tables.nextId(), { targetKey, op, at: clock.read() });
}
