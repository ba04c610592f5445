import type { Sighted } from '../model/apply.ts';
import type { ChangeToken } from '../model/change-token.ts';
import { addMs, type Instant } from '../model/instant.ts';
import type { Content } from '../model/observation.ts';
import type { Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import type { Sighting } from '../source/client.ts';
import { type Observed, observe, observeAbsence, type Sight } from './observe.ts';
import type { PushAnswer } from './push-answer.ts';
import type { TwoWayStream } from './push-deps.ts';
import { showsPushed } from './token-match.ts';

type Done = Extract<PushAnswer, { readonly kind: 'done' }>;

/** What an answer shows of the record. `unseen`: nothing that could be used; `externalId` where it can at least be told. */
export type Seen =
  | { readonly kind: 'seen'; readonly sighted: Sighted }
  | { readonly kind: 'unseen'; readonly externalId: string | null };

/**
 * Reads the record out of the answer to a push. It was so at some moment since the request was first sent: a source that
 * knows the key again gives its first answer, however old. Never throws.
 */
export function seeAnswer(stream: TwoWayStream, push: Push, answer: Done): Seen {
  const sight = sightOf(push, 'push', push.firstCallAt ?? answer.startedAt, answer.endedAt, answer.etag);
  if (push.op === 'delete' && push.externalId !== null) {
    const said = { isPositiveDelete: true, version: null };
    return { kind: 'seen', sighted: observeAbsence(push.externalId, sight, said) };
  }
  if (answer.record === null) return { kind: 'unseen', externalId: push.externalId ?? answer.externalId ?? null };
  const observed = observe(stream, answer.record, sight);
  if (observed.kind === 'sighted') {
    const { externalId } = observed.sighted.seen;
    if (push.externalId === null || push.externalId === externalId) return { kind: 'seen', sighted: observed.sighted };
    return { kind: 'unseen', externalId: push.externalId };
  }
  return { kind: 'unseen', externalId: push.externalId ?? observed.externalId };
}

/** A read of the record, as an observation; null where what came is not this record, or does not map. */
export function seeRead(stream: TwoWayStream, push: Push, externalId: string, read: Sighting): Sighted | null {
  const lo = addMs(read.startedAt, -stream.caps.readLagMs);
  const sight = sightOf(push, 'get', lo, read.endedAt, read.kind === 'found' ? read.etag : null);
  const absent = () => observeAbsence(externalId, sight, { isPositiveDelete: false, version: null });
  if (read.kind === 'absent') return absent();
  const observed: Observed = observe(stream, read.record, sight);
  if (observed.kind === 'ignored') return absent(); // none of this entity's any more
  if (observed.kind !== 'sighted' || observed.sighted.seen.externalId !== externalId) return null;
  return observed.sighted;
}

/** Whether a read after the source's "done" shows what became of it: a lagging one may show the record as it was before. */
export const isSeenThrough = (stream: TwoWayStream, token: ChangeToken, { seen }: Sighted): boolean =>
  stream.caps.readLagMs === 0 || (seen.content !== null && showsPushed(seen.content, token, stream.mapper.hashOf));

/**
 * Where the source neither shows what it stored nor can be read by id: what was sent counts as stored, until the next list
 * shows better.
 */
export function assumeStored(stream: TwoWayStream, push: Push, state: RecordState, endedAt: Instant): Sighted | null {
  if (state.base === null || push.patch === null) return null;
  const content: Content = { ...state.base, ...push.patch };
  const sight = sightOf(push, 'push', push.firstCallAt ?? endedAt, endedAt, null);
  const absence = observeAbsence(state.externalId, sight, { isPositiveDelete: false, version: state.version });
  return { ...absence, seen: { ...absence.seen, content, hash: stream.mapper.hashOf(content) } };
}

const sightOf = (push: Push, channel: 'push' | 'get', lo: Instant, hi: Instant, etag: string | null): Sight => ({
  channel,
  origin: { kind: 'push', id: push.id },
  lo,
  hi,
  isFullRun: false,
  isPartial: false,
  previousVersion: null,
  etag,
  inboxId: null,
  correlationId: null,
  isLastAttempt: true,
});
