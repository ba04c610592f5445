import type { Sighted } from '../model/apply.ts';
import type { NewHint } from '../model/hint.ts';
import type { ClaimedDelivery } from '../model/inbox.ts';
import { BEFORE_ALL } from '../model/instant.ts';
import { createBodyReader } from '../webhook/body.ts';
import type { EventProblem, RoutedEvent, Routing } from '../webhook/routes.ts';
import { BODY_PROBLEMS, type Integration } from './integration.ts';
import { isUnsettled } from './lookups.ts';
import { observe, observeAbsence, type Sight } from './observe.ts';
import type { Unmapped } from './quarantine.ts';
import { MAX_WAITS_FOR_OTHERS } from './retry.ts';
import type { Stream } from './stream.ts';

/**
 * One event of a delivery: something seen, something to read, something that does not map, or a record that is none of the
 * entity's: to be read only if we hold it, since it may have left.
 */
export type EventPart = { readonly stream: Stream } & (
  | { readonly kind: 'sighted'; readonly sighted: Sighted }
  | { readonly kind: 'hint'; readonly hint: NewHint }
  | { readonly kind: 'not_ours'; readonly hint: NewHint }
  | { readonly kind: 'unmapped'; readonly unmapped: Unmapped }
  /** An id of it cannot be looked up yet. */
  | { readonly kind: 'waits' }
);

export type DeliveryProblem = { readonly code: string; readonly message: string; readonly fieldPath: string | null };

/** A delivery taken apart. With a `problem` nothing in it can be used. */
export type DeliveryParts = {
  readonly delivery: ClaimedDelivery;
  readonly events: readonly EventPart[];
  readonly eventType: string | null;
  readonly skippedBecause: string;
  /** Events whose type no route takes. */
  readonly unknownTypes: number;
  readonly problem: DeliveryProblem | null;
};

/** Takes a stored delivery apart into observations and hints. Pure and total: what cannot be read becomes a problem. */
export function takeApart(integration: Integration | undefined, delivery: ClaimedDelivery): DeliveryParts {
  const none = { delivery, events: [], eventType: null, skippedBecause: 'no_route', unknownTypes: 0, problem: null };
  const webhook = integration?.webhook;
  if (integration === undefined || webhook == null || delivery.body === null) return none;
  const body = createBodyReader(delivery.body, delivery.headers)();
  if (!body.ok) {
    if (body.problem === 'empty') return { ...none, skippedBecause: 'empty_body' };
    return { ...none, problem: { code: body.problem, message: BODY_PROBLEMS[body.problem], fieldPath: null } };
  }
  const routing = webhook.routes(body.value, delivery.headers);
  if (routing.kind === 'refused') return { ...none, problem: refusal(routing) };

  const events: EventPart[] = [];
  for (const event of routing.events) {
    const stream = integration.streams.get(event.entity);
    if (stream !== undefined) events.push(...toPart(stream, event, delivery));
  }
  for (const problem of routing.problems) {
    const stream = integration.streams.get(problem.entity);
    if (stream !== undefined) events.push({ stream, kind: 'unmapped', unmapped: misplaced(stream, problem, delivery) });
  }
  const eventType = routing.events[0]?.eventType ?? routing.problems[0]?.eventType ?? null;
  const skippedBecause = routing.unknownTypes.length > 0 ? 'unknown_type' : 'nothing_to_do';
  return { delivery, events, eventType, skippedBecause, unknownTypes: routing.unknownTypes.length, problem: null };
}

function refusal(routing: Extract<Routing, { kind: 'refused' }>): DeliveryProblem {
  if (routing.reason === 'batch_missing') {
    const message = `${routing.fieldPath || 'the body'}: expected an array of events, got ${routing.received}`;
    return { code: routing.reason, message, fieldPath: routing.fieldPath };
  }
  const message = `the batch holds ${routing.count} events; at most ${routing.maxCount} are taken`;
  return { code: routing.reason, message, fieldPath: null };
}

function toPart(stream: Stream, event: RoutedEvent, delivery: ClaimedDelivery): EventPart[] {
  const sight: Sight = {
    channel: 'hook',
    origin: { kind: 'delivery', id: String(delivery.id) },
    lo: BEFORE_ALL,
    hi: delivery.receivedAt,
    isFullRun: false,
    isPartial: event.payload === 'partial',
    previousVersion: stream.mapper.parseVersion(event.previousVersion),
    etag: null,
    inboxId: delivery.id,
    correlationId: delivery.correlationId,
    isLastAttempt: delivery.attempt + 1 >= MAX_WAITS_FOR_OTHERS,
  };
  const versionBeside = stream.mapper.parseVersion(event.version);
  if (event.payload === 'id') return [aboutId(stream, event, sight, versionBeside)];
  const observed = observe(stream, event.record, sight);
  if (observed.kind === 'ignored') return notOurs(stream, observed.externalId, sight);
  // A deletion often carries no more than the id, so nothing else of its record has to be fit.
  if (event.isDelete) return [aboutId(stream, event, sight, versionBeside)];
  if (isUnsettled(observed) && !sight.isLastAttempt) return [{ stream, kind: 'waits' }];
  if (observed.kind === 'invalid')
    return [{ stream, kind: 'unmapped', unmapped: unmapped(observed.problem, event, sight) }];
  if (observed.kind === 'incomplete') {
    return [{ stream, kind: 'hint', hint: readAgain(observed.externalId, observed.version, sight) }];
  }
  const { sighted } = observed;
  if (sighted.seen.content === null) return [asDeletion(stream, sighted.seen.externalId, sighted.seen.version, sight)];
  return [{ stream, kind: 'sighted', sighted }];
}

const notOurs = (stream: Stream, externalId: string | null, sight: Sight): EventPart[] =>
  externalId === null ? [] : [{ stream, kind: 'not_ours', hint: readAgain(externalId, null, sight) }];

/** Events that name a record without showing it: deletions, and "something about this record changed". */
function aboutId(stream: Stream, event: RoutedEvent, sight: Sight, versionBeside: bigint | null): EventPart {
  const named = event.payload === 'id' ? stream.mapper.parseId(event.record) : stream.mapper.externalIdOf(event.record);
  if (!named.ok) return { stream, kind: 'unmapped', unmapped: unmapped(named.problem, event, sight) };
  const version = versionBeside ?? (event.payload === 'id' ? null : stream.mapper.versionOf(event.record));
  if (event.isDelete) return asDeletion(stream, named.externalId, version, sight);
  return { stream, kind: 'hint', hint: readAgain(named.externalId, version, sight) };
}

/**
 * A deletion is applied as it comes where it can be ordered: its version is newer than the last update's, or ids never
 * come back, or nobody can be asked. Elsewhere it is a reason to look: the record may have been restored since.
 */
function asDeletion(stream: Stream, externalId: string, version: bigint | null, sight: Sight): EventPart {
  const { caps } = stream;
  const ordered = caps.deleteEvents === 'versioned' && version !== null;
  if (!ordered && caps.canUndelete && caps.canGet)
    return { stream, kind: 'hint', hint: { ...readAgain(externalId, null, sight), reason: 'delete' } };
  const said = { isPositiveDelete: true, version: ordered ? version : null };
  return { stream, kind: 'sighted', sighted: observeAbsence(externalId, { ...sight, isPartial: false }, said) };
}

const readAgain = (externalId: string, minVersion: bigint | null, sight: Sight): NewHint => ({
  externalId,
  reason: 'hook',
  needLo: sight.hi,
  minVersion,
  runAt: sight.hi,
  attempt: 0,
  correlationId: sight.correlationId,
  runId: null,
});

const unmapped = (problem: Unmapped['problem'], event: RoutedEvent, sight: Sight): Unmapped => ({
  problem,
  record: event.record,
  channel: 'hook',
  origin: sight.origin,
  isPartial: sight.isPartial,
  isDelete: event.isDelete,
  lo: sight.lo,
  hi: sight.hi,
  inboxId: sight.inboxId,
  correlationId: sight.correlationId,
});

/** The event has no record where its route says. */
function misplaced({ key }: Stream, problem: EventProblem, delivery: ClaimedDelivery): Unmapped {
  const { fieldPath, expected, received, eventType } = problem;
  const place = fieldPath === '' ? 'the event' : fieldPath;
  const message = `${key.integration}/${key.entity}: event ${eventType}: ${place}: expected ${expected}, got ${received}`;
  return {
    problem: { code: 'record_missing', externalId: null, fieldPath, message },
    record: null,
    channel: 'hook',
    origin: { kind: 'delivery', id: String(delivery.id) },
    isPartial: false,
    isDelete: false,
    lo: BEFORE_ALL,
    hi: delivery.receivedAt,
    inboxId: delivery.id,
    correlationId: delivery.correlationId,
  };
}
