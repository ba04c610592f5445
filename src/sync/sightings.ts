import type { Db } from '../db/connect.ts';
import type { Instant } from '../model/instant.ts';
import type { RecordState } from '../model/record-state.ts';
import { findHinted } from '../store/hints.ts';
import { hasWaitingDeliveries } from '../store/inbox.ts';
import type { Folded } from './fold.ts';
import type { Stream } from './stream.ts';

/**
 * Of records without versions, a list row that shows what we hold is remembered only where something older may still
 * arrive that could not be told from news: an answer to a read that is under way, or, where nothing can be read by id, a
 * delivery that waits. Everywhere else the sighting can change no comparison, and a full run over unchanged records
 * would rewrite the state of every one of them. Reads that may lag can show something older later on, so there every
 * sighting is kept. @returns the ids whose new state need not be stored.
 */
export async function findIdleSightings(
  tx: Db,
  stream: Stream,
  folded: ReadonlyMap<string, Folded>,
  known: ReadonlyMap<string, RecordState>,
  now: Instant,
): Promise<string[]> {
  if (stream.caps.versionKind !== 'none') return [];
  const mere = [...folded.values()].flatMap((one) =>
    isMereSighting(one, known.get(one.externalId)) ? [one.externalId] : [],
  );
  if (mere.length === 0) return [];
  if (stream.get === null) return (await hasWaitingDeliveries(tx, stream.key.integration, now)) ? [] : mere;
  if (stream.caps.readLagMs > 0) return [];
  const hinted = await findHinted(tx, stream.key, mere);
  return mere.filter((id) => !hinted.has(id));
}

/** Nothing but a later sighting of the same, on a list. A state that had to be mended is stored whatever it takes. */
function isMereSighting({ state, effect, outcomes }: Folded, before: RecordState | undefined): boolean {
  if (state === null || effect !== null || before === undefined) return false;
  const isListed = [...outcomes].every(([{ seen }, { kind }]) => seen.channel === 'page' && kind === 'noop');
  const { lo, hi, aliveAt, etag } = before;
  const isLater = state.lo >= lo && state.hi >= hi;
  return isListed && isLater && isSame({ ...state, lo, hi, aliveAt, etag }, before);
}

const isSame = (left: RecordState, right: RecordState): boolean =>
  left.status === right.status &&
  left.baseHash === right.baseHash &&
  left.version === right.version &&
  left.regressSeenAt === right.regressSeenAt &&
  left.targetKey === right.targetKey;
