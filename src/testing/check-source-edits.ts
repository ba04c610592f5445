import { isDeepStrictEqual } from 'node:util';
import type { EntityDefinition } from '../define/definition.ts';
import { parsePath } from '../lib/path.ts';
import type { JsonObject } from './json.ts';
import type { Commit } from './ledger.ts';
import type { Random } from './random.ts';
import type { Records, StandInEntity } from './stand-in.ts';

type Action = 'create' | 'update' | 'twice' | 'there_and_back' | 'touch' | 'delete';

/** How often each is drawn, in twentieths. */
const SHARES: readonly (readonly [Action, number])[] = [
  ['create', 2],
  ['update', 9],
  ['twice', 3],
  ['there_and_back', 2],
  ['touch', 2],
  ['delete', 2],
];
const ACTIONS = SHARES.flatMap(([action, share]) => Array.from({ length: share }, () => action));

const RETURN_SHARE = 0.5;

export type SourceEditor = {
  /** One random change, at times two in a row. */
  edit(options: { readonly canDelete: boolean }): void;
  /** Changes one field of a record. @returns false when there is no such record. */
  change(id: string): boolean;
};

/** Changes records at the source as its own users would. */
export function createSourceEditor(parts: {
  readonly records: Records;
  readonly entity: Pick<EntityDefinition, 'key' | 'version' | 'deletes'>;
  readonly own: StandInEntity;
  readonly newId: () => string;
  readonly random: Random;
  /** Makes a prepared change visible, at once or later. */
  readonly commit: (commit: Commit) => void;
}): SourceEditor {
  const { records, own, newId, random } = parts;
  const fixed = fixedKeys(parts.entity);
  const editOf = (id: string) => (record: JsonObject) => editRecord(record, own.makeRecord(id, random), fixed, random);
  const change = (id: string): boolean => {
    const commit = records.prepareUpdate(id, editOf(id));
    if (commit !== null) parts.commit(commit);
    return commit !== null;
  };
  const put = (id: string, record: JsonObject) => {
    const commit = records.prepareUpdate(id, () => record);
    if (commit !== null) parts.commit(commit);
  };
  const removed: string[] = [];
  /** At times one that was there before, where ids come back. */
  const idForNew = (): string => {
    const mayReturn = parts.entity.deletes?.idsReturn !== false && removed.length > 0;
    return (mayReturn && random.chance(RETURN_SHARE) ? removed.shift() : undefined) ?? newId();
  };

  return {
    change,
    edit({ canDelete }) {
      const action = random.pick<Action>([ACTIONS[0] ?? 'create', ...ACTIONS.slice(1)]);
      const id = records.records.idAt(random.whole(0, Math.max(0, records.records.size() - 1)));
      if (action === 'create' || id === undefined)
        return parts.commit(records.prepareCreate(own.makeRecord(idForNew(), random)));
      const before = records.records.get(id)?.record;
      switch (action) {
        case 'update':
          change(id);
          break;
        case 'twice':
          change(id);
          change(id);
          break;
        case 'there_and_back':
          if (change(id) && before !== undefined) put(id, before);
          break;
        case 'touch':
          if (before !== undefined) put(id, before);
          break;
        case 'delete':
          if (canDelete && records.remove(id)) removed.push(id);
          break;
      }
    },
  };
}

/** Top-level keys that the source alone sets. */
const fixedKeys = ({
  key,
  version,
  deletes,
}: Pick<EntityDefinition, 'key' | 'version' | 'deletes'>): ReadonlySet<string> =>
  new Set(
    [key, version.kind === 'none' ? null : version.field, deletes?.marker?.field ?? null].flatMap((path) =>
      path === null ? [] : (parsePath(path)?.slice(0, 1) ?? []),
    ),
  );

/** The record with one field of another one; the same when no field differs. */
function editRecord(record: JsonObject, other: JsonObject, fixed: ReadonlySet<string>, random: Random): JsonObject {
  const [first, ...rest] = Object.keys(other).filter(
    (name) => !fixed.has(name) && !isDeepStrictEqual(record[name], other[name]),
  );
  if (first === undefined) return record;
  const name = random.pick([first, ...rest]);
  return { ...record, [name]: other[name] ?? null };
}
