import { assertNever } from '../lib/assert-never.ts';
import type { Outcome, Sighted } from '../model/apply.ts';
import type { Decision, Need } from '../model/decision.ts';
import type { NewHint } from '../model/hint.ts';
import type { Instant } from '../model/instant.ts';
import type { Content } from '../model/observation.ts';
import { blankState, type RecordState } from '../model/record-state.ts';
import type { Settled } from '../store/dead-letters.ts';
import type { HistoryEntry } from '../store/record-history.ts';
import { decide } from './decide.ts';
import type { Stream } from './stream.ts';

/** What is to be done to the target for one record. */
export type Effect =
  | { readonly kind: 'upsert'; readonly content: Content }
  | { readonly kind: 'delete'; readonly targetKey: string };

/** All sightings of one record in a batch, decided one after the other and summed up. */
export type Folded = {
  readonly externalId: string;
  /** The state to store; null when nothing about it changed. */
  readonly state: RecordState | null;
  readonly effect: Effect | null;
  /** Keys of rows that the record had before it was deleted or its own key changed; removed before anything is written. */
  readonly leftKeys: readonly string[];
  /** Content of the last sighting, for comparing with the row. */
  readonly content: Content | null;
  readonly last: Outcome['kind'];
  /** Sightings that were applied, or that showed what we hold: what older dead letters of the record are answered by. */
  readonly settled: readonly Settled[];
  readonly outcomes: ReadonlyMap<Sighted, Outcome>;
  readonly history: readonly HistoryEntry[];
  readonly hints: readonly NewHint[];
  /** Turns the last outcome into `repair`. */
  markRepaired(): void;
};

/** What decisions need to know of a stream. */
export type FoldStream = Pick<Stream, 'caps' | 'mapper' | 'target' | 'get'>;

/** Decides the sightings of one record in order. Pure; `stored` is null for a record never seen. */
export function foldRecord(
  stream: FoldStream,
  stored: RecordState | null,
  group: readonly Sighted[],
  now: Instant,
): Folded {
  const externalId = group[0]?.seen.externalId ?? stored?.externalId ?? '';
  const context = { caps: stream.caps, now, hashOf: stream.mapper.hashOf };
  const outcomes = new Map<Sighted, Outcome>();
  const history: HistoryEntry[] = [];
  const hints: NewHint[] = [];
  let state = stored ?? blankState(externalId);
  let effect: Effect | null = null;
  let isChanged = false;
  let hasDied = false;
  // The row that stands for this record before the batch. Of any other key a row would be somebody else's.
  const heldKey = stored?.status === 'live' ? keyOf(stored) : null;
  const settled: Settled[] = [];

  for (const sighted of group) {
    const decision = decide(state, sighted.seen, context);
    const next = nextState(decision);
    if (decision.kind === 'upsert') effect = { kind: 'upsert', content: decision.content };
    if (decision.kind === 'delete') effect = heldKey === null ? null : { kind: 'delete', targetKey: heldKey };
    const outcome = outcomeOf(decision, state);
    if (next !== null) {
      state = decision.kind === 'upsert' ? withTargetKey(stream, next) : next;
      isChanged = true;
      hasDied ||= decision.kind === 'delete';
    }
    settled.push(...settledBy(decision, sighted));
    outcomes.set(sighted, outcome);
    history.push(...entryFor(decision, outcome, sighted, state));
    hints.push(...hintFor(stream, decision, sighted));
  }
  const lastSighted = group.at(-1);
  return {
    externalId,
    state: isChanged ? state : null,
    effect,
    leftKeys: effect?.kind === 'upsert' && heldKey !== null && (hasDied || keyOf(state) !== heldKey) ? [heldKey] : [],
    content: lastSighted?.seen.content ?? null,
    last: (lastSighted && outcomes.get(lastSighted)?.kind) ?? 'noop',
    settled,
    outcomes,
    history,
    hints,
    markRepaired() {
      if (lastSighted === undefined) return;
      outcomes.set(lastSighted, { kind: 'repair' });
      history.push(historyEntry(lastSighted, state, 'repair', 'row_differed'));
    },
  };
}

function nextState(decision: Decision): RecordState | null {
  return decision.kind === 'stale' ? null : decision.next;
}

function outcomeOf(decision: Decision, before: RecordState): Outcome {
  switch (decision.kind) {
    case 'noop':
    case 'stale':
    case 'verify':
      return { kind: decision.kind };
    case 'upsert':
      return { kind: decision.isInsert ? 'insert' : 'update' };
    case 'delete':
      return { kind: before.status === 'live' ? 'delete' : 'noop' };
    default:
      return assertNever(decision);
  }
}

/** Nothing is told of an unchanged record: its history would be all "nothing happened". */
function entryFor(decision: Decision, outcome: Outcome, sighted: Sighted, after: RecordState): HistoryEntry[] {
  switch (decision.kind) {
    case 'noop':
      return [];
    case 'stale':
      return [historyEntry(sighted, after, 'stale', decision.reason)];
    case 'verify':
      return [
        historyEntry(sighted, after, decision.reason === 'regression' ? 'regression' : 'verify', decision.reason),
      ];
    case 'upsert':
      return [
        historyEntry(sighted, after, outcome.kind === 'insert' ? 'insert' : 'update', decision.isWeak ? 'weak' : null),
      ];
    case 'delete':
      return [historyEntry(sighted, after, 'delete', sighted.seen.isPositiveDelete ? 'said_deleted' : 'not_found')];
    default:
      return assertNever(decision);
  }
}

/** One entry of a record's history, about one sighting. */
export function historyEntry(
  { seen, correlationId }: Sighted,
  after: RecordState,
  decision: HistoryEntry['decision'],
  reason: string | null,
): HistoryEntry {
  const isApplied = decision === 'insert' || decision === 'update' || decision === 'delete' || decision === 'repair';
  return {
    externalId: seen.externalId,
    channel: seen.channel,
    origin: seen.origin,
    decision,
    reason,
    version: seen.version,
    hash: seen.hash,
    appliedSeq: isApplied ? after.appliedSeq : null,
    correlationId,
  };
}

function settledBy(decision: Decision, { seen }: Sighted): Settled[] {
  if (decision.kind === 'stale' || decision.kind === 'verify') return [];
  if (decision.kind === 'noop' && decision.isOlder) return [];
  const { externalId, version, lo, hi } = seen;
  return [{ externalId, version, lo, hi, isEffective: decision.kind !== 'noop' }];
}

function hintFor(stream: FoldStream, decision: Decision, sighted: Sighted): NewHint[] {
  // The next full run confirms it; one made at once would come too early.
  if (decision.kind === 'verify' && decision.reason === 'regression' && stream.get === null) return [];
  if (decision.kind === 'verify') return [verifyHint(sighted, decision.need)];
  if (decision.kind === 'upsert' && decision.verify !== null) return [verifyHint(sighted, decision.verify)];
  return [];
}

/** Asks for the read that would settle what a sighting leaves open. */
export const verifyHint = ({ seen, correlationId }: Sighted, need: Need): NewHint => ({
  externalId: seen.externalId,
  reason: 'verify',
  needLo: need.needLo,
  minVersion: null,
  runAt: need.readAt,
  attempt: 0,
  correlationId,
  runId: seen.origin.kind === 'run' ? seen.origin.id : null,
});

/** Key of the row in which a record lives. */
export const keyOf = (state: RecordState): string => state.targetKey ?? state.externalId;

/**
 * Rows are removed by the target's own key, which a mapping may have changed on the way from the external id. Where two
 * ids could become one key it is always kept: the database then refuses the second record that claims the first one's row.
 */
export function withTargetKey(stream: Pick<Stream, 'target'>, state: RecordState): RecordState {
  const value = state.base?.[stream.target.keyProperty];
  const key = value === undefined || value === null ? state.externalId : String(value);
  return stream.target.isKeyDirect && key === state.externalId ? state : { ...state, targetKey: key };
}

/** Sightings by record, each record's in the order given. */
export function groupById(sightings: readonly Sighted[]): Map<string, Sighted[]> {
  const groups = new Map<string, Sighted[]>();
  for (const sighted of sightings) {
    const group = groups.get(sighted.seen.externalId);
    if (group === undefined) groups.set(sighted.seen.externalId, [sighted]);
    else group.push(sighted);
  }
  return groups;
}
