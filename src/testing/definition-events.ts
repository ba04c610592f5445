import { isDeepStrictEqual } from 'node:util';
import { parsePath } from '../lib/path.ts';
import type { VersionForm } from '../mapping/identity.ts';
import type { JsonValue } from '../model/json.ts';
import type { EventRoute, WebhookDefinition } from '../webhook/definition.ts';
import type { Locator } from '../webhook/locator.ts';
import type { Message } from './delivery.ts';
import { isJsonObject, type JsonObject, valueAt, withValueAt } from './json.ts';
import type { Change } from './ledger.ts';
import { versionWriter, withVersion } from './record-version.ts';

/** How one entity's records carry their id and version. */
export type EventEntity = {
  readonly key: string;
  readonly version: VersionForm;
  /** Delete events carry the deletion's version. */
  readonly hasDeleteVersions: boolean;
};

type Typed = { readonly type: string; readonly route: EventRoute };
const DAY_MS = 86_400_000;

/**
 * Webhooks as a definition routes them: for each entity the first event type that takes an update of it, and the first that
 * takes a deletion. Null for a change that no route takes: such a source would not tell of it.
 */
export function createEvents(
  webhook: WebhookDefinition,
  entities: ReadonlyMap<string, EventEntity>,
): (change: Change<unknown>, isFalse: boolean) => Message | null {
  const routes: Typed[] = Object.entries(webhook.events).flatMap(([type, given]) =>
    (Array.isArray(given) ? given : [given]).map((route: EventRoute) => ({ type, route })),
  );
  const locators = webhook.eventType ?? webhook.signature.scheme.eventType ?? [];
  const find = (entity: string, verb: Change['verb']) => {
    const own = routes.filter(({ route }) => route.entity === entity && isFit(route, verb));
    // A source that has a type for each verb uses it.
    return own.find(({ type }) => type.includes(verb.slice(0, -1))) ?? own[0];
  };
  return (change, isFalse) => {
    const entity = entities.get(change.resource);
    const found = find(change.resource, change.verb);
    if (entity === undefined || found === undefined) return null;
    return composeEvent({ change, entity, found, isFalse, locators, batch: webhook.batch });
  };
}

function isFit({ deletes = false }: EventRoute, verb: Change['verb']): boolean {
  return typeof deletes === 'boolean' ? deletes === (verb === 'deleted') : true;
}

function composeEvent(parts: {
  readonly change: Change<unknown>;
  readonly entity: EventEntity;
  readonly found: Typed;
  readonly isFalse: boolean;
  readonly locators: readonly Locator[];
  readonly batch: string | undefined;
}): Message {
  const { change, entity, found, isFalse, locators, batch } = parts;
  const { route } = found;
  const at = isFalse ? change.at + DAY_MS : change.at;
  const whole = recordOf(change, entity, at);
  const record = route.payload === 'partial' ? partOf(whole, change, entity) : whole;
  const isId = route.payload === 'id';
  let event: JsonValue = withValueAt({}, isId ? (route.id ?? route.record) : route.record, isId ? change.id : record);
  if (isId && route.id !== undefined && route.record !== route.id && route.record !== '') {
    event = withValueAt(event, route.record, record);
    event = withValueAt(event, route.id, change.id);
  }
  const version = versionWriter(entity.version);
  if (version !== null && route.version !== undefined) event = withValueAt(event, route.version, version(at));
  if (version !== null && route.previousVersion !== undefined && change.previousAt !== null) {
    event = withValueAt(event, route.previousVersion, version(change.previousAt));
  }
  if (typeof route.deletes === 'object') {
    const { path, equals } = route.deletes;
    const one = Array.isArray(equals) ? equals[0] : equals;
    event = withValueAt(event, path, change.verb === 'deleted' ? (one ?? null) : `not ${String(one)}`);
  }
  const typed = withType(event, typeText(found.type, change.verb), locators);
  const body = batch === undefined ? typed.event : withValueAt({}, batch === '$' ? '' : batch, [typed.event]);
  return { body: JSON.stringify(withBodyType(body, typed.inBody)), headers: typed.headers };
}

function recordOf(change: Change<unknown>, { key, version, hasDeleteVersions }: EventEntity, at: number): JsonObject {
  const record: JsonObject = Object(change.record);
  if (change.verb !== 'deleted') return withVersion(record, version, at);
  const id = valueAt(record, key);
  const bare: JsonObject = Object(withValueAt({}, key, typeof id === 'number' ? id : change.id));
  return hasDeleteVersions ? withVersion(bare, version, at) : bare;
}

/** Id, version, and what differs from the record before. */
function partOf(record: JsonObject, { verb, previous }: Change<unknown>, { key, version }: EventEntity): JsonObject {
  if (verb === 'deleted' || !isJsonObject(previous)) return record;
  const kept = [key, ...(version.kind === 'none' ? [] : [version.field])].map((path) => parsePath(path)?.[0]);
  const entries = Object.entries(record);
  return Object.fromEntries(
    entries.filter(([name, value]) => kept.includes(name) || !isDeepStrictEqual(previous[name], value)),
  );
}

/** A pattern's `*` stands for the verb. */
const typeText = (pattern: string, verb: string): string => (pattern === '*' ? verb : pattern.replaceAll('*', verb));

type TypedEvent = {
  readonly event: JsonValue;
  readonly headers: Readonly<Record<string, string>>;
  readonly inBody: readonly (readonly [path: string, text: string])[];
};

/** Puts a type where the definition reads it: `issues.opened` in two places where there are two. */
function withType(event: JsonValue, type: string, locators: readonly Locator[]): TypedEvent {
  const headers: Record<string, string> = {};
  const inBody: (readonly [string, string])[] = [];
  const segments = type.split('.');
  for (const [index, locator] of locators.entries()) {
    const isLast = index === locators.length - 1;
    const text = (isLast ? segments.slice(index) : segments.slice(index, index + 1)).join('.');
    if (text === '') continue;
    if (locator.from === 'header') headers[locator.names[0] ?? ''] = text;
    else if (locator.from === 'body') inBody.push([locator.path, text]);
    else event = withValueAt(event, locator.path, text);
  }
  return { event, headers, inBody };
}

const withBodyType = (body: JsonValue, types: TypedEvent['inBody']): JsonValue =>
  types.reduce(
    (typed: JsonValue, [path, text]) => (parsePath(path) === null ? typed : withValueAt(typed, path, text)),
    body,
  );
