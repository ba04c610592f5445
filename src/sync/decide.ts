import type { Capabilities } from '../model/capabilities.ts';
import type { Decision, Need, StaleReason } from '../model/decision.ts';
import { addMs, BEFORE_ALL, type Instant } from '../model/instant.ts';
import type { Content, Observation } from '../model/observation.ts';
import { blankState, type RecordState } from '../model/record-state.ts';
import { decideOrder, type Order, orderByInterval } from './order.ts';

/** A regression is believed only when it is seen again this much later: a lagging replica shows one too. */
const REGRESSION_CONFIRM_MS = 60_000;
const REGRESSION_LAGS = 10;

/** A sighting of a timestamped record counts only while a read of that very tick may still be under way. */
const TICK_CONTEST_US = 600_000_000n; // 10 min, beyond any read's deadline and any sane clock offset

export type DecideContext = {
  readonly caps: Capabilities;
  /** Database time; it only bounds intervals that claim to lie in the future. */
  readonly now: Instant;
  /** Hash of a record's whole content, as the mapper makes it. */
  readonly hashOf: (content: Content) => string;
};

type Input = {
  state: RecordState;
  /** The stored state could not be true: the repaired one must be stored, or the next read would meet the damage again. */
  isRepaired: boolean;
  seen: Observation;
  caps: Capabilities;
  now: Instant;
};

/** What to do with one observation, given what we hold. Pure, total, and the same for every channel. */
export function decide(stored: RecordState, observed: Observation, context: DecideContext): Decision {
  const { caps, now } = context;
  const state = sanitiseState(stored, now);
  const isRepaired = state !== stored;
  const seen = completePartial(observed, state, context);
  if (seen === null) return verify({ state, isRepaired, seen: observed, caps, now }, 'partial_gap');
  const input: Input = { state, isRepaired, seen, caps, now };
  const order = decideOrder(seen, state, caps);

  const isOlder = order === 'older';
  if (isSameContent(seen, state)) return { kind: 'noop', next: isOlder ? null : recordSighting(input), isOlder };
  if (seen.content === null && state.status === 'tombstone') {
    return { kind: 'noop', next: isOlder ? null : recordAbsence(state, seen), isOlder };
  }
  if (isRegression(input)) return decideRegression(input);
  switch (order) {
    case 'older':
      if (seen.isFullRun && caps.canGet) return verify(input, 'older_in_full_run');
      return { kind: 'stale', reason: olderReason(input) };
    case 'same':
      return seen.channel === 'hook' || !caps.canGet
        ? { kind: 'stale', reason: 'same_version' }
        : verify(input, 'same_version');
    case 'unknown':
      return caps.canGet ? verify(input, 'not_ordered') : accept(input, order);
    case 'newer':
      return accept(input, order);
  }
}

/** Repairs a state that cannot be true: damaged or future intervals must never win for ever. */
export function sanitiseState(state: RecordState, now: Instant): RecordState {
  if (state.status === 'live' && state.baseHash === null) return blankState(state.externalId);
  const regressSeenAt = state.regressSeenAt !== null && state.regressSeenAt > now ? null : state.regressSeenAt;
  if (state.lo > now || state.hi > now) return { ...state, lo: BEFORE_ALL, hi: now, regressSeenAt };
  return regressSeenAt === state.regressSeenAt ? state : { ...state, regressSeenAt };
}

/**
 * Base with the payload's fields laid over it, when the payload was made from exactly our base; null when not. Two changes
 * can share one timestamp, so an equal one does not show that, and whoever can be asked is.
 */
function completePartial(seen: Observation, state: RecordState, { caps, hashOf }: DecideContext): Observation | null {
  if (!seen.partial || seen.content === null) return seen;
  if (caps.versionKind !== 'counter' && caps.canGet) return null;
  const isFromBase = seen.previousVersion !== null && seen.previousVersion === state.version;
  if (state.status !== 'live' || state.base === null || !isFromBase) return null;
  const content = { ...state.base, ...seen.content };
  return { ...seen, content, hash: hashOf(content), partial: false };
}

const isSameContent = (seen: Observation, state: RecordState): boolean =>
  seen.content !== null && state.status === 'live' && seen.hash === state.baseHash;

/** The state with this sighting of the same content, or null where no later comparison could tell the difference. */
function recordSighting({ state, seen, caps }: Input): RecordState | null {
  const version = maxVersion(state.version, seen.version);
  const lo = Math.max(state.lo, seen.lo);
  const hi = Math.max(state.hi, seen.hi);
  const isNewSight = lo > state.lo || hi > state.hi;
  const matters =
    version !== state.version ||
    (isNewSight && (caps.versionKind === 'none' || !caps.canGet || isTickContested(seen, caps))) ||
    state.regressSeenAt !== null;
  if (!matters) return null;
  const etag = seen.etag ?? state.etag;
  return { ...state, version, etag, lo, hi, aliveAt: Math.max(state.aliveAt, seen.hi), regressSeenAt: null };
}

function isTickContested(seen: Observation, caps: Capabilities): boolean {
  if (caps.versionKind !== 'timestamp' || seen.version === null) return false;
  // Deliveries count too: the change that one tells of may be back at what we hold, with another in between.
  const at = seen.lo === BEFORE_ALL ? seen.hi : seen.lo;
  return BigInt(Math.trunc(at)) - seen.version < TICK_CONTEST_US;
}

function recordAbsence(state: RecordState, seen: Observation): RecordState | null {
  const next: RecordState = {
    ...state,
    isTombSoft: state.isTombSoft && !seen.isPositiveDelete,
    tombVersion: maxVersion(state.tombVersion, seen.version),
    isTombUnversioned: state.isTombUnversioned || seen.version === null,
    lo: Math.max(state.lo, seen.lo),
    hi: Math.max(state.hi, seen.hi),
  };
  const isNews =
    next.isTombSoft !== state.isTombSoft ||
    next.tombVersion !== state.tombVersion ||
    next.isTombUnversioned !== state.isTombUnversioned ||
    next.hi > state.hi;
  return isNews ? next : null;
}

/**
 * A fresh read that shows an older version than ours: a restored source, a re-created id, or a damaged state. Where nobody
 * can be asked by id, the rows of full runs are such reads: one finds it, a later one confirms it.
 */
function isRegression({ state, seen, caps }: Input): boolean {
  const isRead = seen.channel === 'get' || (seen.isFullRun && !caps.canGet);
  if (!isRead || seen.version === null || seen.content === null) return false;
  const held = state.status === 'tombstone' ? state.tombVersion : state.version;
  if (state.status === 'none' || held === null) return false;
  return seen.version < held - caps.versionSkew && orderByInterval(seen, state) === 'newer';
}

function decideRegression(input: Input): Decision {
  const { state, seen, caps } = input;
  const confirmMs = Math.max(REGRESSION_CONFIRM_MS, REGRESSION_LAGS * caps.readLagMs);
  const seenAt = state.regressSeenAt;
  if (seenAt !== null && seen.lo >= addMs(seenAt, confirmMs)) return accept(input, 'newer');
  const since = seenAt ?? input.now;
  const needLo = addMs(since, confirmMs);
  const need: Need = { needLo, readAt: addMs(needLo, caps.readLagMs) };
  return {
    kind: 'verify',
    reason: 'regression',
    need,
    next: seenAt === null || input.isRepaired ? { ...state, regressSeenAt: since } : null,
  };
}

function accept(input: Input, order: Order): Decision {
  const { state, seen } = input;
  const isWeak = order === 'unknown';
  if (seen.content === null) return { kind: 'delete', next: buried(state, seen), isWeak };
  return {
    kind: 'upsert',
    isInsert: state.status !== 'live',
    content: seen.content,
    next: alive(state, seen),
    isWeak,
    verify: isFirstSightUnproven(input) ? needFor(input) : null,
  };
}

/** A payload without a version, of a record we never held: shown at once, then read, because it may be an old one. */
function isFirstSightUnproven({ state, seen, caps }: Input): boolean {
  return seen.channel === 'hook' && seen.version === null && caps.canGet && state.status === 'none';
}

const alive = (state: RecordState, seen: Observation): RecordState => ({
  ...blankState(state.externalId),
  status: 'live',
  baseHash: seen.hash,
  base: seen.content,
  version: seen.version,
  etag: isDirectRead(seen) ? seen.etag : null,
  lo: seen.lo,
  hi: seen.hi,
  aliveAt: Math.max(state.aliveAt, seen.hi),
  appliedSeq: state.appliedSeq + 1,
  shadow: state.shadow,
  localVersion: state.localVersion,
});

const isDirectRead = (seen: Observation): boolean => seen.channel === 'get' || seen.channel === 'push';

const buried = (state: RecordState, seen: Observation): RecordState => ({
  ...state,
  status: 'tombstone',
  base: null,
  baseHash: null,
  etag: null,
  lo: seen.lo,
  hi: seen.hi,
  tombVersion: seen.version,
  // An id that we never held, answered with "not found": it may only not have reached that replica yet.
  isTombSoft: state.status === 'none' && !seen.isPositiveDelete,
  isTombUnversioned: seen.version === null,
  appliedSeq: state.appliedSeq + (state.status === 'live' ? 1 : 0),
  regressSeenAt: null,
});

function verify(input: Input, reason: Extract<Decision, { kind: 'verify' }>['reason']): Decision {
  return { kind: 'verify', reason, need: needFor(input), next: input.isRepaired ? input.state : null };
}

/** A read settles it when it is later than both what we hold and what we were shown. */
function needFor({ state, seen, caps, now }: Input): Need {
  return { needLo: Math.max(seen.hi, state.hi + 1), readAt: Math.max(now, addMs(state.hi, caps.readLagMs)) };
}

function olderReason({ state, seen }: Input): StaleReason {
  if (state.status === 'tombstone') return 'deleted';
  return seen.version !== null && state.version !== null && seen.version < state.version
    ? 'older_version'
    : 'older_sighting';
}

const maxVersion = (left: bigint | null, right: bigint | null): bigint | null =>
  left === null || (right !== null && right > left) ? right : left;
