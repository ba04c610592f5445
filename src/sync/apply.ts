import type { Db } from '../db/connect.ts';
import { failureKind, isRowFault, sqlState } from '../db/failure.ts';
import { readDatabaseNow } from '../db/instants.ts';
import type { Outcome, Sighted } from '../model/apply.ts';
import type { Instant } from '../model/instant.ts';
import type { Content } from '../model/observation.ts';
import { blankState, type RecordState } from '../model/record-state.ts';
import { hasOpenDeadLetters, supersede } from '../store/dead-letters.ts';
import { appendHistory } from '../store/record-history.ts';
import { insertStates, lockStates, readStates, saveStates } from '../store/record-states.ts';
import { findDamagedRows, removeRows, writeRows } from '../store/target.ts';
import { applyTwoWay } from './apply-two-way.ts';
import { type Folded, foldRecord, groupById } from './fold.ts';
import { refusedBy, setRecordAside } from './quarantine.ts';
import { openRecordTx } from './record-tx.ts';
import { findIdleSightings } from './sightings.ts';
import type { Stream } from './stream.ts';
import { wantReads } from './want.ts';

export type ApplyOptions = {
  /** Compare unchanged rows with the target and rewrite those that were damaged; of two-way streams, take them for edits. */
  readonly repairs: boolean;
};

/**
 * The only way into the target: brings records in line with what was seen of them, in the caller's transaction, so that
 * the rows, the records' states and the caller's own bookkeeping agree. Safe to repeat: what is known already changes
 * nothing. Reads that a decision calls for are queued as hints in the same transaction.
 *
 * Unchanged records are neither locked nor written. A record that the database refuses is set aside without stopping the
 * others; one that somebody else holds comes back as `defer`, one whose parent row is missing as `retry`.
 * Everything else that fails (connection, missing table, full disk) is thrown: it is no record's fault.
 * @returns an outcome for each sighting, in the order given.
 */
export async function applyBatch(
  tx: Db,
  stream: Stream,
  sightings: readonly Sighted[],
  options: ApplyOptions,
): Promise<Outcome[]> {
  if (sightings.length === 0) return [];
  try {
    return await tx.transaction((savepoint) => applyAll(savepoint, stream, sightings, options));
  } catch (error) {
    if (!isRowFault(error)) throw error;
    return await applyOneByOne(tx, stream, sightings, options, error);
  }
}

/** Some sighting of the batch failed, and the database does not say which: each gets a savepoint of its own. */
async function applyOneByOne(
  tx: Db,
  stream: Stream,
  sightings: readonly Sighted[],
  options: ApplyOptions,
  batchError: unknown,
): Promise<Outcome[]> {
  const [only] = sightings;
  if (only !== undefined && sightings.length === 1) return [await outcomeOfFault(tx, stream, only, batchError)];
  const outcomes: Outcome[] = [];
  for (const sighted of sightings) outcomes.push(await applyAlone(tx, stream, sighted, options));
  // A parent, or the record that gives a unique value up, may have stood further back in the same batch.
  for (const [place, sighted] of sightings.entries()) {
    if (outcomes[place]?.kind === 'retry') outcomes[place] = await applyAlone(tx, stream, sighted, options);
  }
  return outcomes;
}

async function applyAlone(tx: Db, stream: Stream, sighted: Sighted, options: ApplyOptions): Promise<Outcome> {
  try {
    const [done] = await tx.transaction((savepoint) => applyAll(savepoint, stream, [sighted], options));
    return done ?? { kind: 'noop' };
  } catch (error) {
    if (!isRowFault(error)) throw error;
    return await outcomeOfFault(tx, stream, sighted, error);
  }
}

async function outcomeOfFault(tx: Db, stream: Stream, sighted: Sighted, error: unknown): Promise<Outcome> {
  const kind = failureKind(error);
  if (kind === 'lock_timeout') return { kind: 'defer' };
  const reason = passingReason(error);
  if (reason !== null && !sighted.isLastAttempt) return { kind: 'retry', reason };
  await setRecordAside(tx, stream, sighted, error);
  return { kind: 'quarantine' };
}

const UNIQUE_VIOLATION = '23505';
const TARGET_KEY_INDEX = 'record_states_target_key';

/** What another record's change may still mend: its parent arrives, or whoever has its unique value gives it up. */
function passingReason(error: unknown): 'missing_parent' | 'value_taken' | null {
  if (failureKind(error) === 'foreign_key') return 'missing_parent';
  // Two records with one key in the target stay so: that is the mapping's fault.
  const isOwnKey = refusedBy(error).includes(TARGET_KEY_INDEX);
  return sqlState(error) === UNIQUE_VIOLATION && !isOwnKey ? 'value_taken' : null;
}

async function applyAll(
  tx: Db,
  stream: Stream,
  sightings: readonly Sighted[],
  options: ApplyOptions,
): Promise<Outcome[]> {
  const { twoWay } = stream;
  if (twoWay !== null) return await applyTwoWay(openRecordTx(tx, stream), { ...stream, twoWay }, sightings, options);
  const now = await readDatabaseNow(tx);
  const groups = groupById(sightings);
  const ids = [...groups.keys()];
  const known = await readStates(tx, stream.key, ids);
  const folded = new Map<string, Folded>();
  for (const [id, group] of groups) folded.set(id, foldRecord(stream, known.get(id) ?? null, group, now));
  for (const id of await findIdleSightings(tx, stream, folded, known, now)) {
    const one = folded.get(id);
    if (one !== undefined) folded.set(id, { ...one, state: null });
  }

  const damaged = options.repairs ? await findDamaged(tx, stream, folded) : new Set<string>();
  const contested = ids.filter((id) => folded.get(id)?.state !== null || damaged.has(id));
  await settleContested(tx, stream, { groups, known, folded, damaged, contested, now });
  await writeEffects(tx, stream, folded, damaged);

  const places = new Map<Sighted, Outcome>();
  for (const { outcomes } of folded.values()) for (const [sighted, outcome] of outcomes) places.set(sighted, outcome);
  return sightings.map((sighted) => places.get(sighted) ?? { kind: 'noop' });
}

type Contest = {
  groups: Map<string, Sighted[]>;
  known: Map<string, RecordState>;
  folded: Map<string, Folded>;
  damaged: Set<string>;
  contested: string[];
  now: Instant;
};

/**
 * Takes the records that would change and decides them again on what the lock shows. Records never seen are inserted with
 * their final state at once; a rival's insert of the same record makes us wait, and then counts as known.
 */
async function settleContested(tx: Db, stream: Stream, contest: Contest): Promise<void> {
  const { groups, known, folded, contested } = contest;
  const fresh = contested.flatMap((id) => (known.has(id) ? [] : (folded.get(id)?.state ?? [])));
  const won = await insertStates(
    tx,
    stream.key,
    fresh.map((state) => storable(stream, state)),
  );
  const toLock = contested.filter((id) => !won.has(id));
  const locked = await lockStates(tx, stream.key, toLock);
  // Who made us wait for the lock has seen the record later than we began; by the older clock that would be the future.
  const now = toLock.length === 0 ? contest.now : await readDatabaseNow(tx);
  const changed: RecordState[] = [];
  for (const id of toLock) {
    const again = foldRecord(stream, locked.get(id) ?? blankState(id), groups.get(id) ?? [], now);
    folded.set(id, again);
    if (again.state !== null) changed.push(storable(stream, again.state));
    if (again.last !== 'noop' || again.state?.status === 'tombstone') contest.damaged.delete(id);
  }
  await saveStates(tx, stream.key, changed);
}

async function writeEffects(tx: Db, stream: Stream, folded: Map<string, Folded>, damaged: Set<string>): Promise<void> {
  const all = [...folded.values()];
  const applied = all.filter((one) => one.effect !== null);
  const repairs = all.filter((one) => damaged.has(one.externalId));
  const upserts = applied.flatMap(({ effect }) => (effect?.kind === 'upsert' ? [effect.content] : []));
  const deletes = applied.flatMap(({ effect }) => (effect?.kind === 'delete' ? [effect.targetKey] : []));
  await removeRows(tx, stream.target, [...deletes, ...applied.flatMap(({ leftKeys }) => leftKeys)]);
  await writeRows(tx, stream.target, [...upserts, ...repairs.flatMap(contentOf)]);
  for (const one of repairs) one.markRepaired();
  await appendHistory(
    tx,
    stream.key,
    all.flatMap(({ history }) => history),
  );
  await wantReads(
    tx,
    stream,
    all.flatMap(({ hints }) => hints),
  );
  if (await hasOpenDeadLetters(tx, stream.key))
    await supersede(
      tx,
      stream.key,
      all.flatMap(({ settled }) => settled),
    );
}

/** Ids of records that are unchanged at the source but whose row is not what we wrote. */
async function findDamaged(tx: Db, stream: Stream, folded: Map<string, Folded>): Promise<Set<string>> {
  const unchanged = [...folded.values()].filter((one) => one.last === 'noop' && one.content !== null);
  const contents = unchanged.flatMap(contentOf);
  const places = await findDamagedRows(tx, stream.target, contents);
  return new Set(places.flatMap((place) => unchanged[place]?.externalId ?? []));
}

const contentOf = ({ content }: Folded): Content[] => (content === null ? [] : [content]);

/** The base's content is stored only where something will ask for it; its hash always is. */
const storable = (stream: Stream, state: RecordState): RecordState =>
  stream.keepsBase || state.base === null ? state : { ...state, base: null };
