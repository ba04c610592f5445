import type { Sighted } from '../model/apply.ts';
import type { Capabilities } from '../model/capabilities.ts';
import type { ChangeToken } from '../model/change-token.ts';
import type { Instant } from '../model/instant.ts';
import type { Observation } from '../model/observation.ts';
import type { Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import { type Folded, keyOf } from './fold.ts';
import type { Stream } from './stream.ts';
import { matchesToken } from './token-match.ts';

/** Writes of ours that a sighting may have to wait for. */
export type Flights = {
  /** The push of this very record that is being called, or of which nobody knows what became. */
  readonly flight: Push | null;
  /** Creates that are not settled: one of them may have made this record. */
  readonly creates: OpenCreates;
};

export type OpenCreates = {
  /** When the first of those that are under way was first sent; null where none is. */
  readonly oldestCallAt: Instant | null;
  /** Those of the rows and tokens that were asked for. One that is parked is among them until its record has shown itself. */
  readonly named: readonly Push[];
};

export const NO_CREATES: OpenCreates = { oldestCallAt: null, named: [] };

/** An observation that shows a write of ours carried out. */
export type Echo = { readonly tokenId: string; readonly seen: Observation };

/**
 * Whether a record must wait for a write of ours to be settled, and by which of the sightings that write is seen to be
 * carried out; null when nothing is in the way. Pure. What changes nothing of a record never waits.
 *
 * A push in flight: between its call and its settling nobody but the settling may write the record. A create: its record has
 * no id yet, so a record that we see for the first time may be the one that we have just made, and would get a second row.
 * It waits for none that was first sent after it had been known, so that creates that follow each other hold nobody up.
 */
export function waitsFor(
  folded: Folded,
  before: RecordState,
  { flight, creates }: Flights,
): { readonly kind: 'flight' | 'create' } | null {
  if (!changesRecord(folded, before)) return null;
  if (flight !== null) return { kind: 'flight' };
  if (before.status === 'live') return null;
  const alive = [...folded.outcomes.keys()].filter(({ seen }) => seen.content !== null);
  const key = keyOf(folded.state ?? before);
  const isOfItsRow = creates.named.some((create) => isUnderWay(create) && create.targetKey === key);
  const isOurs = (sighted: Sighted) => isOfItsRow || mayBeOurs(sighted, creates);
  return alive.some(isOurs) ? { kind: 'create' } : null;
}

/** A record that carries the id of a write is of that write alone; of one that carries none only its age can tell. */
function mayBeOurs({ seen, knownAt = seen.hi }: Sighted, { oldestCallAt, named }: OpenCreates): boolean {
  if (seen.marker !== null) return named.some(({ tokenId }) => tokenId === seen.marker);
  return oldestCallAt !== null && oldestCallAt <= Math.min(seen.hi, knownAt);
}

const isUnderWay = ({ state }: Push): boolean => state === 'calling' || state === 'unknown';

const changesRecord = ({ effect, state }: Folded, before: RecordState): boolean =>
  effect !== null || (state !== null && state.status !== before.status);

/** Sightings that show that the call under way was carried out: they match its token, and are later than the call. */
export function echoOf(
  group: readonly Sighted[],
  { flight, creates }: Flights,
  tokens: readonly ChangeToken[],
  { caps, mapper }: Pick<Stream, 'caps' | 'mapper'>,
): Echo | null {
  for (const { seen } of group) {
    if (seen.partial) continue;
    const create = seen.marker === null ? undefined : creates.named.find(({ tokenId }) => tokenId === seen.marker);
    if (create?.tokenId != null) return { tokenId: create.tokenId, seen };
    const token = flight === null ? undefined : tokens.find(({ id }) => id === flight.tokenId);
    if (flight === null || token === undefined) continue;
    if (matchesToken(seen, token, mapper.hashOf) && isLater(seen, flight, caps)) return { tokenId: token.id, seen };
  }
  return null;
}

/** Somebody may have written the same before: that would not show that our call was carried out. */
const isLater = (seen: Observation, { preVersion, firstCallAt }: Push, { versionSkew }: Capabilities): boolean =>
  (seen.version !== null && preVersion !== null && seen.version > preVersion + versionSkew) ||
  (firstCallAt !== null && seen.lo > firstCallAt);
