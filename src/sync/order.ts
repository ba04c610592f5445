import type { Capabilities } from '../model/capabilities.ts';
import type { Observation } from '../model/observation.ts';
import type { RecordState } from '../model/record-state.ts';

/** How an observation stands to what we hold. `same`: one version; `unknown`: nothing orders them, so nobody guesses. */
export type Order = 'newer' | 'older' | 'same' | 'unknown';

/** Order by sighting alone: only intervals that do not touch are ordered. */
export function orderByInterval(seen: Observation, state: RecordState): 'newer' | 'older' | 'unknown' {
  if (seen.lo > state.hi) return 'newer';
  if (seen.hi < state.lo) return 'older';
  return 'unknown';
}

/**
 * Order of an observation against a record's state: by version first, by sighting intervals where versions do not tell.
 * Arrival order is never used. The state must be sanitised (`sanitiseState`).
 */
export function decideOrder(seen: Observation, state: RecordState, caps: Capabilities): Order {
  if (state.status === 'none') return 'newer';
  if (state.status === 'tombstone') return orderAgainstTombstone(seen, state, caps);
  return orderAgainstLive(seen, state, caps);
}

function orderAgainstTombstone(seen: Observation, state: RecordState, caps: Capabilities): Order {
  if (seen.content === null) return orderByInterval(seen, state);
  if (seen.version !== null && state.tombVersion !== null) {
    if (seen.version < state.tombVersion) return 'older';
    // An unversioned 404 may have come after this version, so a greater version alone does not show that it is alive.
    if (seen.version > state.tombVersion && !state.isTombUnversioned) return 'newer';
  }
  if (seen.channel === 'hook' && !caps.canUndelete && !state.isTombSoft) return 'older';
  if (seen.channel !== 'get' && isBelow(seen.version, state.version)) return 'older';
  // A direct read may always resurrect: a tombstone made by a lagging read must not be for ever.
  const byInterval = orderByInterval(seen, state);
  // Nobody can be asked, and ids never come back: what may be older than a deletion is taken to be.
  const isFinal = !caps.canGet && !caps.canUndelete && !state.isTombSoft;
  return byInterval === 'unknown' && isFinal ? 'older' : byInterval;
}

function orderAgainstLive(seen: Observation, state: RecordState, caps: Capabilities): Order {
  if (seen.content === null) {
    // Where ids never come back, a signed deletion stays true whenever it arrives.
    if (seen.isPositiveDelete && !caps.canUndelete) return 'newer';
    if (seen.version === null) return orderByInterval(seen, state);
  }
  const byInterval = orderByInterval(seen, state);
  if (isEtagComparable(seen) && seen.etag !== null && seen.etag === state.etag) {
    return byInterval === 'newer' ? 'newer' : 'same';
  }
  if (seen.version === null || state.version === null) return byInterval;
  if (seen.version < state.version - caps.versionSkew) return 'older';
  if (seen.version > state.version + caps.versionSkew) return 'newer';
  if (caps.versionKind === 'counter') return byInterval === 'newer' ? 'newer' : 'same';
  return byInterval;
}

/** A list row may carry another representation, and with it another tag, than a read by id. */
const isEtagComparable = (seen: Observation): boolean => seen.channel === 'get' || seen.channel === 'push';

const isBelow = (left: bigint | null, right: bigint | null): boolean => left !== null && right !== null && left < right;
