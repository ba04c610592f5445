import type { Outcome, Sighted } from '../model/apply.ts';
import type { ChangeToken } from '../model/change-token.ts';
import { addMs, type Instant } from '../model/instant.ts';
import type { Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import { type Folded, type FoldStream, foldRecord, historyEntry, verifyHint } from './fold.ts';
import { type Echo, echoOf, type OpenCreates, waitsFor } from './in-flight.ts';

/** How long after a write a list may still show the world before it: this many read lags. */
const BACKWARD_LAGS = 10;

/** What stands around one record, read under its lock. */
export type Surroundings = {
  readonly before: RecordState;
  readonly flight: Push | null;
  readonly creates: OpenCreates;
  readonly tokens: readonly ChangeToken[];
  readonly now: Instant;
};

/** Sightings of one record, decided. `waits`: nothing of its row or state may be touched before a write of ours is settled. */
export type TakenIn = { readonly folded: Folded; readonly waits: boolean; readonly echo: Echo | null };

/** Decides the sightings of one record under its lock, with the writes of ours that may concern it. Pure. */
export function takeIn(stream: FoldStream, group: readonly Sighted[], around: Surroundings): TakenIn {
  const { before, now } = around;
  const backward = group.filter((sighted) => isBackward(stream, sighted, around));
  const forward = backward.length === 0 ? group : group.filter((sighted) => !backward.includes(sighted));
  const folded = withVerified(foldRecord(stream, before, forward, now), backward, around, stream);
  const open = group.filter((sighted) => isOpen(folded.outcomes.get(sighted)));
  const echo = open.length === 0 ? null : echoOf(open, around, around.tokens, stream);
  if (waitsFor(folded, before, around) !== null) return { folded: deferred(folded), waits: true, echo };
  // While a write is under way not even a sighting is noted: it would be judged by a base that is about to change.
  if (around.flight !== null) return { folded: { ...folded, state: null }, waits: true, echo };
  return { folded, waits: false, echo };
}

/** Neither known already nor too old to matter. */
const isOpen = (outcome: Outcome | undefined): boolean =>
  outcome !== undefined && outcome.kind !== 'noop' && outcome.kind !== 'stale';

/**
 * Without versions a row of a list that shows just what the record was before a write of ours of a moment ago may have been
 * read by a replica that lags more than it should. It is no news before a read by id says so.
 */
function isBackward(stream: FoldStream, { seen }: Sighted, { before, tokens, now }: Surroundings): boolean {
  if (stream.caps.versionKind !== 'none' || seen.channel !== 'page' || seen.hash === null) return false;
  if (before.status !== 'live' || seen.hash === before.baseHash) return false;
  const since = addMs(now, -BACKWARD_LAGS * stream.caps.readLagMs);
  return tokens.some((token) => token.preHash === seen.hash && token.createdAt > since);
}

function withVerified(
  folded: Folded,
  sightings: readonly Sighted[],
  { before, now }: Surroundings,
  { caps }: FoldStream,
): Folded {
  if (sightings.length === 0) return folded;
  const needOf = ({ seen }: Sighted) => ({
    needLo: Math.max(seen.hi, before.hi + 1),
    readAt: Math.max(now, addMs(before.hi, caps.readLagMs)),
  });
  const last = sightings.at(-1);
  return {
    ...folded,
    externalId: before.externalId,
    last: last !== undefined && folded.outcomes.size === 0 ? 'verify' : folded.last,
    outcomes: new Map([...folded.outcomes, ...sightings.map((one) => [one, { kind: 'verify' }] as const)]),
    history: [...folded.history, ...sightings.map((one) => historyEntry(one, before, 'verify', 'before_own_write'))],
    hints: [...folded.hints, ...sightings.map((one) => verifyHint(one, needOf(one)))],
  };
}

/** Nothing of it happens now. What is too old stays too old. */
function deferred(folded: Folded): Folded {
  const outcomes = new Map<Sighted, Outcome>();
  for (const [sighted, outcome] of folded.outcomes) {
    outcomes.set(sighted, outcome.kind === 'stale' ? outcome : { kind: 'defer', isInFlight: true });
  }
  return { ...folded, state: null, effect: null, leftKeys: [], settled: [], outcomes, history: [], hints: [] };
}
