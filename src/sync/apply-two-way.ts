import type { Outcome, Sighted } from '../model/apply.ts';
import type { ChangeToken } from '../model/change-token.ts';
import type { RecordState } from '../model/record-state.ts';
import { auditRows } from './audit-rows.ts';
import { type Folded, type FoldStream, foldRecord, groupById } from './fold.ts';
import { NO_CREATES, type OpenCreates } from './in-flight.ts';
import { type Landing, landRecords } from './land-records.ts';
import { isWhole } from './merge.ts';
import type { RecordTx } from './record-store.ts';
import { takeIn } from './take-in.ts';
import { matchesToken } from './token-match.ts';
import type { TwoWay } from './two-way.ts';

/** What is needed of a stream to take in what its source shows, where its rows are edited here as well. */
export type ApplyStream = FoldStream & { readonly twoWay: TwoWay };

/**
 * As `applyBatch`, for records whose rows are edited here too, in the caller's transaction: a record that changed at the
 * source is merged with what was edited since, value by value, and whatever is overwritten is kept as a conflict. Edits that
 * stay are queued as pushes. A record of which a write of ours is in flight is left alone (`defer`), so that its settling
 * finds what the write was made from; what shows that the write was carried out is kept with its token.
 *
 * Safe to repeat. Unchanged records are neither locked nor written. With `repairs` the rows of unchanged records are compared
 * with how they were stored: what differs, or is missing, is queued as an edit, and never rewritten.
 * Whatever fails is thrown; the caller finds out which of the sightings it was.
 * @returns an outcome for each sighting, in the order given.
 */
export async function applyTwoWay(
  tx: RecordTx,
  stream: ApplyStream,
  sightings: readonly Sighted[],
  options: { readonly repairs: boolean },
): Promise<Outcome[]> {
  if (sightings.length === 0) return [];
  const now = await tx.now();
  const groups = groupById(sightings);
  const known = await tx.readStates([...groups.keys()]);
  const folded: Folded[] = [];
  const contested: string[] = [];
  for (const [id, group] of groups) {
    const one = foldRecord(stream, known.get(id) ?? null, group, now);
    if (one.state !== null || isUnlinked(stream, known.get(id), one)) contested.push(id);
    else folded.push(one);
  }
  const unchanged = folded.filter(({ last, content }) => last === 'noop' && content !== null);
  const told = folded.filter(({ outcomes }) => [...outcomes.keys()].some(({ seen }) => seen.channel === 'hook'));
  const settled = await settleContested(tx, stream, groups, contested);
  folded.push(...settled.folded);
  if (options.repairs) {
    // After every state and row is locked: it locks pushes.
    await auditRows(
      tx,
      stream,
      unchanged.flatMap(({ externalId }) => known.get(externalId) ?? []),
      now,
    );
  }

  await tx.appendHistory(folded.flatMap(({ history }) => history));
  await tx.wantReads(folded.flatMap(({ hints }) => hints));
  await tx.supersede(folded.flatMap(({ settled }) => settled));
  await countEchoes(tx, stream, sightings, { told, tokens: settled.tokens });
  const outcomes = new Map(folded.flatMap((one) => [...one.outcomes]));
  return sightings.map((sighted) => outcomes.get(sighted) ?? { kind: 'noop' });
}

/**
 * Live since before its rows were edited here, or since before a property was mapped: how the target stored it is not known
 * yet, though the source shows nothing new.
 */
const isUnlinked = ({ target }: ApplyStream, state: RecordState | undefined, { last, content }: Folded): boolean =>
  state?.status === 'live' && last === 'noop' && content !== null && !isWhole(state, target.contentProperties);

/**
 * Counts what is seen again of writes of ours; nothing is decided by it. Of records that may have changed the tokens are at
 * hand, and of those that a delivery spoke of they are read: most deliveries that change nothing are echoes. Lists of
 * unchanged records cost nothing.
 */
async function countEchoes(
  tx: RecordTx,
  { mapper }: ApplyStream,
  sightings: readonly Sighted[],
  { told, tokens }: { readonly told: readonly Folded[]; readonly tokens: Tokens },
): Promise<void> {
  const ids = told.map(({ externalId }) => externalId);
  const known = ids.length === 0 ? tokens : new Map([...tokens, ...(await tx.tokensOf(ids))]);
  const echoes = sightings.flatMap(({ seen }) => {
    const token = known.get(seen.externalId)?.find((one) => matchesToken(seen, one, mapper.hashOf));
    return token === undefined ? [] : [token.id];
  });
  if (echoes.length > 0) await tx.countEchoes(echoes);
}

type Tokens = ReadonlyMap<string, readonly ChangeToken[]>;

/** Creates that may have made records which no row stands for yet. */
async function openCreatesOf(
  tx: RecordTx,
  { target }: ApplyStream,
  sightings: readonly Sighted[],
): Promise<OpenCreates> {
  const alive = sightings.flatMap(({ seen }) => (seen.content === null ? [] : [{ ...seen, content: seen.content }]));
  if (alive.length === 0) return NO_CREATES;
  return await tx.openCreates({
    targetKeys: alive.map(({ externalId, content }) => String(content[target.keyProperty] ?? externalId)),
    tokenIds: alive.flatMap(({ marker }) => marker ?? []),
  });
}

/** Decides the records that would change again, on what their locks show, and carries it out. */
async function settleContested(
  tx: RecordTx,
  stream: ApplyStream,
  groups: ReadonlyMap<string, readonly Sighted[]>,
  contested: readonly string[],
): Promise<{ readonly folded: readonly Folded[]; readonly tokens: Tokens }> {
  if (contested.length === 0) return { folded: [], tokens: new Map() };
  const states = await tx.lockStates(contested);
  // Who made us wait for a lock has seen the record later than we began.
  const now = await tx.now();
  const flights = await tx.flightsOf(contested);
  const tokens = await tx.tokensOf(contested);
  const unknown = contested.filter((id) => states.get(id)?.status !== 'live');
  const creates = await openCreatesOf(
    tx,
    stream,
    unknown.flatMap((id) => groups.get(id) ?? []),
  );
  const waiting: Folded[] = [];
  const landings: Landing[] = [];
  for (const [id, before] of states) {
    const flight = flights.get(id) ?? null;
    const around = { before, flight, creates, tokens: tokens.get(id) ?? [], now };
    const { folded, waits, echo } = takeIn(stream, groups.get(id) ?? [], around);
    if (echo !== null) await tx.keepEcho(echo.tokenId, echo.seen);
    if (waits) waiting.push(folded);
    else landings.push({ folded, before });
  }
  return { folded: [...waiting, ...(await landRecords(tx, stream, landings, now))], tokens };
}
