import type { Instant } from '../../src/model/instant.ts';
import type { Content } from '../../src/model/observation.ts';
import { type Field, isSameContent } from './shape.ts';
import { type Fields, lastMoment } from './source-history.ts';
import { normalise } from './source-shape.ts';
import type { LocalEdit } from './users.ts';
import type { Invariant } from './violations.ts';
import type { World } from './world.ts';

type Report = (invariant: Invariant, detail: string) => void;

/** What must hold when nothing happens any more. */
export function checkEnd(world: World, report: Report): void {
  checkConvergence(world, report);
  checkParked(world, report);
  checkWrites(world, report);
  checkEdits(world, report);
  if (world.tables.inbox.rows.size > 0) report('I3', 'a delivery that was acknowledged is not worked off');
}

/** Whether a push may wait for a person, given what can go wrong at all. */
function checkParked({ tables, configuration: { shape, twoWay } }: World, report: Report): void {
  const expected = new Set([
    ...(shape.idempotencyTtlMs === null && !shape.hasMarker ? ['create_unknown'] : []),
    // Refused under its key as well, what was lost once stays unknown until the key is forgotten.
    ...(shape.refuses ? ['refused', 'create_unknown'] : []),
    ...(twoWay?.tableEdits ? ['loop_suspected'] : []),
    // A table that an audit or a run finds empty holds removals back, however few rows it had, until a person says more.
    ...(tables.progress.get().heldDeletes === 'the table was emptied' ? ['mass_delete'] : []),
  ]);
  for (const { state, parkReason, targetKey, error } of tables.pushes.rows.values())
    if (state === 'parked' && !expected.has(parkReason ?? ''))
      report('I12', `${targetKey}: parked for no reason that there is: ${parkReason}, ${error}`);
}

/** Rows that wait for a person, in so many words: nothing is promised of them until she has decided. */
function waitingKeys({ tables }: World): Set<string> {
  const keys = new Set<string>();
  for (const { state, targetKey, externalId } of tables.pushes.rows.values()) {
    if (state !== 'parked') continue;
    keys.add(targetKey);
    if (externalId !== null) keys.add(externalId);
  }
  for (const { outcome, targetKey, externalId } of tables.conflicts.rows.values()) {
    if (outcome !== null) continue;
    keys.add(targetKey);
    if (externalId !== null) keys.add(externalId);
  }
  return keys;
}

function checkConvergence(world: World, report: Report): void {
  const { tables, source, users, configuration } = world;
  const waiting = waitingKeys(world);
  const isDetached = (id: string) =>
    configuration.twoWay?.localDeletes === 'detach' &&
    users.edits.some(({ key, field, row }) => field === null && (key === id || row === id));
  const expected = new Map<string, Content>();
  for (const record of source.records.values()) {
    const { fields } = lastMoment(record);
    if (waiting.has(record.id)) continue;
    const row = tables.rows.get(record.id);
    if (fields === null) {
      if (row !== undefined) report('I1', `${record.id}: its row is still there`);
      continue;
    }
    const ref = String(fields.ref ?? record.id);
    if (waiting.has(ref) || isDetached(record.id) || isDetached(ref)) continue;
    const content = world.contentOf(record);
    expected.set(record.id, content);
    if (row === undefined && world.table.keepsOut(content)) continue;
    if (row === undefined) report('I1', `${record.id}: it has no row`);
    else if (!isSameContent(row, world.table.store(content)))
      report('I1', `${record.id}: its row differs: ${describe(row)}, at the source ${describe(content)}`);
    const state = tables.states.get(record.id);
    if (
      configuration.twoWay !== null &&
      row !== undefined &&
      state?.shadow != null &&
      !isSameContent(row, state.shadow)
    )
      report('I1', `${record.id}: an edit is left that nobody pushes`);
  }
  for (const [key, row] of tables.rows.rows) {
    if (source.records.has(key) || waiting.has(key)) continue;
    report('I1', `${key}: a row without a record: ${describe(row)}`);
  }
}

const describe = (content: Content): string => JSON.stringify(content);

/** No write without an edit, and no record made twice. */
function checkWrites(world: World, report: Report): void {
  const { writes, users, source, configuration } = world;
  const rowOf = (id: string) => originOf(world, id);
  const { shape, twoWay } = configuration;
  const edits = countBy(users.edits, ({ row }) => rowOf(row));
  const acknowledged = countBy([...writes.acknowledged.values()], ({ recordId }) => rowOf(recordId));
  for (const [row, count] of acknowledged) {
    // Whoever insists on a local value pushes it again after each foreign change of it.
    const mayInsist = twoWay?.policy === 'target_wins' || twoWay?.policy === 'newest_wins';
    const decided = users.decisions.filter((id) => rowOf(id) === row).length;
    const allowed = (edits.get(row) ?? 0) + decided + (mayInsist ? foreignChanges(world, row) : 0);
    if (count > allowed) report('I7', `${row}: ${count} acknowledged writes for ${allowed} edits`);
  }
  for (const { recordId } of writes.executed)
    if ((edits.get(rowOf(recordId)) ?? 0) === 0) report('I7', `${recordId}: written without an edit`);

  checkFields(world, report);
  if (twoWay?.mayDuplicateCreates || (shape.hasZombies && shape.idempotencyTtlMs === null)) return;
  // One that was deleted there may be made again: by whoever did not hear of it, or where edits here count more.
  const isMadeAgain = (id: string): boolean => {
    const at = source.records.get(id)?.moments[0]?.at ?? 0;
    return [...source.records.values()].some(
      (other) =>
        other.id !== id &&
        rowOf(other.id) === rowOf(id) &&
        other.moments.some((moment) => moment.fields === null && moment.at <= at),
    );
  };
  const firsts = [...source.records.keys()].filter((id) => rowOf(id) !== id && !isMadeAgain(id));
  const made = countBy(firsts, rowOf);
  for (const [row, count] of made) if (count > 1) report('I8', `${row}: created ${count} times`);
}

/** Nothing is written, or deleted, that nobody has edited, or removed. */
function checkFields(world: World, report: Report): void {
  const { writes, users, configuration } = world;
  const edited = new Map<string, Instant>();
  for (const { row, field, at } of users.edits) {
    const name = `${originOf(world, row)} ${field}`;
    edited.set(name, Math.min(edited.get(name) ?? at, at));
  }
  for (const { write, recordId, at } of writes.executed) {
    const origin = originOf(world, recordId);
    const sendsAll = write.op === 'create' || configuration.twoWay?.sends === 'record';
    const fields = write.op === 'delete' ? [null] : sendsAll ? [] : Object.keys(write.fields);
    for (const field of fields)
      if ((edited.get(`${origin} ${field}`) ?? Number.POSITIVE_INFINITY) > at)
        report(
          'I7',
          `${recordId}: ${field === null ? 'deleted, and nobody removed its row' : `nobody edited ${field}`}`,
        );
  }
}

function foreignChanges(world: World, row: string): number {
  let count = 0;
  for (const { id, moments } of world.source.records.values())
    if (originOf(world, id) === row) count += moments.filter(({ tokenId }) => tokenId === null).length;
  return count;
}

/** What a record was called when it began: by the insert of its row, or by the record that it was made again from. */
function originOf(world: World, id: string): string {
  const { source, writes } = world;
  const fields = source.records.get(id)?.moments.find((moment) => moment.fields !== null)?.fields;
  if (fields?.ref != null) return String(fields.ref);
  const from = writes.madeFrom.get(id);
  return from === undefined || from === id ? id : originOf(world, from);
}

function countBy<T>(items: readonly T[], nameOf: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(nameOf(item), (counts.get(nameOf(item)) ?? 0) + 1);
  return counts;
}

/** Every value that somebody wrote has been at the source, or was written over, or is kept where she can see it. */
function checkEdits(world: World, report: Report): void {
  const { users } = world;
  const waiting = waitingKeys(world);
  for (const [place, edit] of users.edits.entries()) {
    const { row, key, field, value, isTakenBack } = edit;
    if (field === null || isTakenBack) continue;
    if ([row, key, ...idsOf(world, row)].some((name) => waiting.has(name))) continue;
    const isOverwritten = users.edits
      .slice(place + 1)
      .some(
        (later) =>
          originOf(world, later.row) === originOf(world, row) && (later.field === field || later.field === null),
      );
    if (isOverwritten || reached(world, edit, field) || isKept(world, edit, field)) continue;
    report('I9', `${row}: the value ${JSON.stringify(value)} of ${field} is lost`);
  }
}

function reached(world: World, { row, at, value, from }: LocalEdit, field: Field): boolean {
  const { source, configuration, table } = world;
  const wanted = normalise(configuration.shape, table.store({ [field]: value }) as Fields)[field];
  for (const { id, moments } of source.records.values()) {
    if (originOf(world, id) !== originOf(world, row)) continue;
    const isThere = moments.some((moment, place) => {
      const until = moments[place + 1]?.at ?? Number.POSITIVE_INFINITY;
      // The same value written at the source, and not seen here before the edit, is the same edit on both sides.
      return (until >= at || place >= from) && moment.fields !== null && isShown(moment.fields[field], wanted);
    });
    if (isThere) return true;
  }
  return false;
}

const isShown = (left: unknown, right: unknown): boolean => left === right || `[${left}]` === right;

function isKept(world: World, { row, key, value }: LocalEdit, field: Field): boolean {
  const { tables, table } = world;
  const stored = table.store({ [field]: value })[field];
  const names = new Set([row, key, ...idsOf(world, row)]);
  for (const { externalId, targetKey, local } of tables.conflicts.rows.values()) {
    const isOfRow = names.has(targetKey) || (externalId !== null && names.has(externalId));
    if (isOfRow && local !== null && local[field] === stored) return true;
  }
  return false;
}

/** Records that were made from a row, or from what it was before. */
function idsOf(world: World, row: string): string[] {
  const origin = originOf(world, row);
  return [...world.source.records.keys()].filter((id) => originOf(world, id) === origin);
}
