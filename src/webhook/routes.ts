import { type Kind, kindOf } from '../lib/kind.ts';
import { type PathRead, readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import { type CheckedRoute, type WebhookDefinition, webhookDefinitionSchema } from './definition.ts';
import { prepareMatcher } from './event-pattern.ts';
import { prepareEventType } from './event-type.ts';
import type { Headers } from './headers.ts';
import { textOf } from './locator.ts';

/** Events in one delivery. More of them is no batch that a provider sends, and would hold one transaction for long. */
export const MAX_BATCH_EVENTS = 5_000;

/** Stands in the list of unknown types for an event whose type is missing, too long or not printable. */
export const UNREADABLE_TYPE = '(unreadable)';

/** One event on its way to one entity. */
export type RoutedEvent = {
  /** Position in the batch, from 0. */
  readonly index: number;
  readonly eventType: string;
  readonly entity: string;
  /** An object; for the payload `id` the id's text. */
  readonly record: unknown;
  readonly isDelete: boolean;
  readonly payload: CheckedRoute['payload'];
  /** As they stand in the event, unread; left out where the route names none or the event has none. */
  readonly previousVersion?: unknown;
  readonly version?: unknown;
};

/** What is wrong with one event, without any value of it. */
export type EventProblem = {
  readonly index: number;
  readonly eventType: string;
  readonly entity: string;
  readonly fieldPath: string;
  readonly expected: string;
  readonly received: Kind;
};

export type Routing =
  | {
      readonly kind: 'routed';
      readonly events: readonly RoutedEvent[];
      /** One entry for each event that no route takes: acknowledged and counted. As sent, so never a metric's label. */
      readonly unknownTypes: readonly string[];
      readonly problems: readonly EventProblem[];
    }
  /** The whole delivery cannot be taken apart. */
  | { readonly kind: 'refused'; readonly reason: 'batch_missing'; readonly fieldPath: string; readonly received: Kind }
  | { readonly kind: 'refused'; readonly reason: 'batch_too_large'; readonly count: number; readonly maxCount: number };

export type PreparedRoutes = (body: unknown, headers: Headers) => Routing;

/** Prepares the routing of deliveries. The router is pure, never throws, and looks only at own properties. */
export function prepareRoutes(definition: WebhookDefinition): PreparedRoutes {
  const webhook = webhookDefinitionSchema.parse(definition);
  const { batch } = webhook;
  const batchPath = batch === undefined ? null : mustParsePath(batch);
  const readType = prepareEventType(webhook.eventType ?? webhook.signature.scheme.eventType);
  const match = prepareMatcher(
    Object.entries(webhook.events).map(([type, routes]) => [type, routes.map(prepareRoute)] as const),
  );

  return (body, headers) => {
    let list: readonly unknown[] = [body];
    if (batch !== undefined && batchPath !== null) {
      const read = readPath(body, batchPath);
      const found: unknown = read.found ? read.value : undefined;
      if (!Array.isArray(found)) {
        return { kind: 'refused', reason: 'batch_missing', fieldPath: batch, received: kindOf(found) };
      }
      if (found.length > MAX_BATCH_EVENTS) {
        return { kind: 'refused', reason: 'batch_too_large', count: found.length, maxCount: MAX_BATCH_EVENTS };
      }
      list = found;
    }
    const events: RoutedEvent[] = [];
    const unknownTypes: string[] = [];
    const problems: EventProblem[] = [];
    for (const [index, event] of list.entries()) {
      const eventType = readType({ headers, body: () => body, event: () => event });
      const routes = eventType === null ? null : match(eventType);
      if (eventType === null || routes === null) {
        unknownTypes.push(eventType ?? UNREADABLE_TYPE);
        continue;
      }
      for (const route of routes) {
        const result = route(event);
        if (result.ok) events.push({ index, eventType, ...result.part });
        else problems.push({ index, eventType, ...result.problem });
      }
    }
    return { kind: 'routed', events, unknownTypes, problems };
  };
}

/** Takes a parsed delivery apart by prepared routes. */
export const routeEvents = (prepared: PreparedRoutes, body: unknown, headers: Headers): Routing =>
  prepared(body, headers);

type RouteResult =
  | { readonly ok: true; readonly part: Omit<RoutedEvent, 'index' | 'eventType'> }
  | { readonly ok: false; readonly problem: Omit<EventProblem, 'index' | 'eventType'> };

function prepareRoute(route: CheckedRoute): (event: unknown) => RouteResult {
  const { entity, payload } = route;
  const fieldPath = route.id ?? route.record;
  const path = mustParsePath(fieldPath);
  const isDelete = prepareDeletes(route.deletes);
  const readVersion = prepareOptional(route.version);
  const readPreviousVersion = prepareOptional(route.previousVersion);
  const expected = payload === 'id' ? 'a text or a whole number' : 'an object';

  return (event) => {
    const read = readPath(event, path);
    const found: unknown = read.found ? read.value : undefined;
    const id = payload === 'id' ? textOf(found) : null;
    const isFit = payload === 'id' ? id !== null && id !== '' : kindOf(found) === 'object';
    if (!isFit) return { ok: false, problem: { entity, fieldPath, expected, received: kindOf(found) } };
    const previousVersion = readPreviousVersion(event);
    const version = readVersion(event);
    return {
      ok: true,
      part: {
        entity,
        record: payload === 'id' ? id : found,
        isDelete: isDelete(event),
        payload,
        ...(previousVersion.found ? { previousVersion: previousVersion.value } : {}),
        ...(version.found ? { version: version.value } : {}),
      },
    };
  };
}

const NOT_FOUND: PathRead = { found: false };

function prepareOptional(text: string | undefined): (event: unknown) => PathRead {
  if (text === undefined) return () => NOT_FOUND;
  const path = mustParsePath(text);
  return (event) => readPath(event, path);
}

function prepareDeletes(deletes: CheckedRoute['deletes']): (event: unknown) => boolean {
  if (typeof deletes === 'boolean') return () => deletes;
  const path = mustParsePath(deletes.path);
  const values = new Set<unknown>(Array.isArray(deletes.equals) ? deletes.equals : [deletes.equals]);
  return (event) => {
    const read = readPath(event, path);
    return read.found && values.has(read.value);
  };
}
