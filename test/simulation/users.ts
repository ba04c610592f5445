import type { Conflict } from '../../src/model/conflict.ts';
import type { Instant } from '../../src/model/instant.ts';
import type { JsonValue } from '../../src/model/json.ts';
import type { Content } from '../../src/model/observation.ts';
import type { Clock } from './clock.ts';
import type { Configuration } from './configuration.ts';
import type { ModelSource } from './model-source.ts';
import type { Random } from './random.ts';
import { type Field, isWritable, keyOf, WRITABLE } from './shape.ts';
import type { Fields } from './source-history.ts';
import { REFUSED_VALUE } from './source-writes.ts';
import type { Tables } from './tables.ts';
import type { UserTable } from './user-table.ts';

/** A value that somebody wrote into a row, or (with a null field) the removal of the row. */
export type LocalEdit = {
  /** The row's id at the source, or what its insert called it. */
  readonly row: string;
  readonly key: string;
  readonly field: Field | null;
  readonly value: JsonValue;
  readonly at: Instant;
  /** It only takes an edit back that nobody has sent yet, so there is nothing to bring to the source. */
  readonly isTakenBack: boolean;
  /** The moment of the record's history that the row showed, whatever was edited in it: later ones met the edit. */
  readonly from: number;
};

/** Few values, in both cases, so that equal ones and A→B→A are common. */
const FEW = ['p', 'q', 'P', 'Q'] as const;
const MAX_RECORDS = 6;
/** Where shares of them are counted. */
const MANY_RECORDS = 16;
/** How often an edit inserts a row, and how many are inserted at most. */
const INSERTS = {
  never: { chance: 0, most: 0 },
  some: { chance: 0.08, most: 4 },
  many: { chance: 0.4, most: 12 },
} as const;

/** People at both ends. */
export function createUsers(deps: {
  configuration: Configuration;
  random: Random;
  clock: Clock;
  source: ModelSource;
  tables: Tables;
  /** A statement of the user's own; null removes the row. */
  edit: (targetKey: string, content: Content | null) => void;
  /** What is mapped of a row, and can be written back. */
  writable: () => readonly Field[];
  table: Pick<UserTable, 'store' | 'keepsOut'>;
  trace: ((line: string) => void) | null;
  /** Place in a record's history up to which its changes have arrived. */
  shownOf: (id: string) => number;
}) {
  const { configuration, random, source, tables, clock } = deps;
  const edits: LocalEdit[] = [];
  /** Ids of records of which a person decided something. */
  const decisions: string[] = [];
  let written = 0;
  let inserts = 0;

  const drawValue = (field: Field, prefix: string): JsonValue => {
    if (field === 'a') return random.pick(FEW);
    if (field === 'n') return random.below(6);
    if (prefix === 'l' && configuration.shape.refuses && random.chance(0.15)) return REFUSED_VALUE;
    written++;
    return random.chance(0.3) ? ` ${prefix}${written} ` : `${prefix}${written}`;
  };

  function changed(fields: Fields, prefix: 'r' | 'l'): Fields {
    const among = prefix === 'r' ? WRITABLE : deps.writable();
    const next: Record<string, JsonValue> = { ...fields };
    const first = random.pick(among);
    next[first] = drawValue(first, prefix);
    if (random.chance(0.2)) {
      const second = random.pick(among);
      next[second] = drawValue(second, prefix);
    }
    return next;
  }

  function editSource(): void {
    const ids = [...source.records.keys()];
    const most = configuration.hasManyRecords ? MANY_RECORDS : MAX_RECORDS;
    // A list that is suddenly empty proves nothing, so a source never ends empty here.
    if (ids.length < 2 || (ids.length < most && random.chance(configuration.hasManyRecords ? 0.4 : 0.1))) {
      const blank = { a: null, b: null, d: null, n: null, ref: null };
      source.edit(source.newId(), changed(blank, 'r'));
      return;
    }
    const id = random.pick(ids);
    const fields = source.current(id);
    if (fields === null) {
      const old = source.records.get(id)?.moments.findLast((moment) => moment.fields !== null)?.fields;
      if (configuration.shape.canUndelete && old != null) source.edit(id, random.chance(0.5) ? old : changed(old, 'r'));
      return;
    }
    const what = random.next();
    // An empty list deletes nothing, as a rule, so one record stays.
    if (what < 0.08 && ids.some((other) => other !== id && source.current(other) !== null)) source.edit(id, null);
    else if (what < 0.16) source.edit(id, fields);
    else if (what < 0.3) {
      // There and back again, before anybody may have looked.
      source.edit(id, changed(fields, 'r'));
      source.edit(id, fields);
    } else if (what < 0.45) {
      // Back to what it once was, perhaps by a write of ours.
      const once = random.pick(source.records.get(id)?.moments ?? []).fields;
      source.edit(id, once ?? changed(fields, 'r'));
    } else source.edit(id, changed(fields, 'r'));
  }

  const told = (content: Content): string => String(content.ref ?? content.id);

  /** As the row was before anybody edited it, or as the write that is under way takes it to the source. */
  function isTakenBack(key: string, field: Field, value: JsonValue): boolean {
    for (const { state, targetKey, snapshot } of tables.pushes.rows.values())
      if (targetKey === key && (state === 'calling' || state === 'unknown'))
        return snapshot !== null && (snapshot[field] ?? null) === value;
    for (const state of tables.states.rows.values())
      if ((state.targetKey ?? state.externalId) === key && state.status === 'live')
        // Of a property that is mapped since, null is no value yet: the source's is taken for it.
        return state.shadow !== null && (state.shadow[field] ?? null) === value;
    return false;
  }

  function note(row: Content, field: Field | null, value: JsonValue): void {
    const key = keyOf(row);
    const isBack = field !== null && isTakenBack(key, field, deps.table.store({ [field]: value })[field] ?? null);
    deps.trace?.(`${clock.at()} the row ${key} of ${told(row)}: ${field ?? 'removed'} = ${JSON.stringify(value)}`);
    edits.push({ row: told(row), key, field, value, at: clock.at(), isTakenBack: isBack, from: deps.shownOf(key) });
  }

  function write(before: Content, after: Content): void {
    const key = keyOf(before);
    for (const field of WRITABLE) if (before[field] !== after[field]) note(before, field, after[field] ?? null);
    deps.edit(key, after);
  }

  function remove(row: Content): void {
    note(row, null, null);
    deps.edit(keyOf(row), null);
  }

  function editTarget(): void {
    const { twoWay } = configuration;
    if (twoWay === null) return;
    const rows = tables.rows.values();
    const { chance, most } = INSERTS[twoWay.userInserts];
    if (inserts < most && random.chance(chance)) {
      const ref = `new-${++inserts}`;
      const content = { id: ref, d: null, ref, ...changed({ a: null, b: null, n: null }, 'l') };
      if (deps.table.keepsOut(content as Content)) return;
      for (const field of WRITABLE)
        if (content[field as 'id'] != null) note(content as Content, field, content[field as 'id']);
      deps.edit(ref, content as Content);
      return;
    }
    if (rows.length === 0) return;
    const row = random.pick(rows);
    if (twoWay.userDeletes !== 'never' && random.chance(0.08)) {
      for (const one of twoWay.userDeletes === 'masses' && random.chance(0.5) ? rows : [row]) remove(one);
      return;
    }
    const { id = null, d = null, ref = null, ...fields } = row;
    const next = { ...changed(fields, 'l'), id, d, ref };
    write(row, next);
    if (random.chance(0.12)) write(tables.rows.get(keyOf(row)) ?? row, row);
  }

  return {
    edits,
    /** Somebody creates a record where none is left. */
    populate(): void {
      const isEmpty = [...source.records.keys()].every((id) => source.current(id) === null);
      if (isEmpty) source.edit(source.newId(), changed({ a: null, b: null, d: null, n: null, ref: null }, 'r'));
    },
    editSource,
    editTarget,
    decisions,
    /** A person has decided a conflict. What she wrote in place of either side's value is an edit of hers. */
    noteDecision({ targetKey, externalId, local, fields }: Conflict): void {
      decisions.push(externalId ?? targetKey);
      const row = tables.rows.get(externalId ?? targetKey) ?? tables.rows.get(targetKey);
      if (row === undefined || local === null) return;
      for (const field of fields.filter(isWritable))
        if (String(row[field]).startsWith('o') || (field === 'n' && row.n !== local.n))
          note(row, field, row[field] ?? null);
    },
    /** The owner's trigger edits the row, too. */
    noteTrigger(before: Content, after: Content): void {
      for (const field of WRITABLE) if (before[field] !== after[field]) note(before, field, after[field] ?? null);
    },
  };
}
