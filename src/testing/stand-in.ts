import type { EntityDefinition, IntegrationDefinition } from '../define/definition.ts';
import { describeTarget } from '../define/target.ts';
import { bearer, signatures } from '../index.ts';
import { durationMs } from '../lib/duration.ts';
import { prepareTwoWay } from '../sync/prepare-two-way.ts';
import { definitionDialect } from './definition-dialect.ts';
import { createEvents } from './definition-events.ts';
import { createHostileSource, type HostileSource } from './hostile-source.ts';
import { isJsonObject, type JsonObject, mergeJson, trimTexts, valueAt, withValueAt } from './json.ts';
import type { Ledger } from './ledger.ts';
import { createRandom, type Random } from './random.ts';
import { versionWriter, withVersion } from './record-version.ts';
import type { SettingsPatch } from './settings.ts';
import { createSourceHistory, type SourceHistory } from './source-history.ts';

/** What is known of a source beside its definition. */
export type SourceFacts = Partial<Pick<EntityDefinition, 'key' | 'version' | 'read' | 'deletes' | 'write'>>;

export type StandInEntity = {
  /** A whole record with this id, as the source's API shows it. The version in it is overwritten. */
  readonly makeRecord: (id: string, random: Random) => JsonObject;
  /** What the source makes of what is written to it. Default: texts are trimmed. */
  readonly normalise?: (fields: JsonObject) => JsonObject;
  /** Fields that follow from others, whenever a record changes. Default: none. */
  readonly derive?: (record: JsonObject) => JsonObject;
  /** Where the source is not as its definition says: its documentation, written down a second time. */
  readonly facts?: SourceFacts;
};

export type StandInOptions = {
  readonly seed: number;
  readonly tickMs: number;
  /** How far reads are behind, at most. */
  readonly maxLagMs: number;
  readonly entities: Readonly<Record<string, StandInEntity>>;
};

export type Records = Ledger<JsonObject, JsonObject>;

/** A hostile source with the endpoints, the webhooks and the records of an integration's own. */
export type StandIn = {
  readonly source: HostileSource;
  /** By entity. */
  readonly records: ReadonlyMap<string, Records>;
  /** By entity: what became of the records since they were first put in. */
  readonly histories: ReadonlyMap<string, SourceHistory>;
  readonly random: Random;
  newId(): string;
  /** Parameters that came and that the source does not know, by endpoint. */
  unknownParams(): ReadonlyMap<string, ReadonlySet<string>>;
};

const TOKEN = 'made-up-for-the-check';
const SECRET = `whsec_${Buffer.from('made up for the check, no secret').toString('base64')}`;
const LAG_SHARE = 0.3;
const REQUEST_TIMEOUT = '2s';
/** Longer than the client waits. */
const HOLD_MS = 3_000;
const ID_DIGITS = { low: 1_000_000, high: 9_999_999 };

/** Null names an entity whose list cannot be stood in for. */
export function createStandIn(
  definition: IntegrationDefinition,
  options: StandInOptions,
): { readonly standIn: StandIn } | { readonly impossible: string } {
  const { seed, tickMs, maxLagMs } = options;
  const random = createRandom(seed, 'records');
  const unknown = new Map<string, Set<string>>();
  const entities = Object.entries(definition.entities).map(([name, form]) => {
    const own = options.entities[name];
    if (own === undefined) throw new TypeError(`entities.${name}: expected makeRecord for it`);
    const entity = { ...form, ...own.facts };
    return { name, entity, own, twoWay: prepareTwoWay(entity, describeTarget(form)) };
  });
  const settings: SettingsPatch = {
    readMaxLagMs: maxLagMs,
    readLag: maxLagMs > 0 ? LAG_SHARE : 0,
    writeMaxHoldMs: HOLD_MS,
  };
  const eventEntities = new Map(
    entities.map(({ name, entity: { key, version, deletes } }) => [
      name,
      { key, version, hasDeleteVersions: deletes?.events === 'versioned' },
    ]),
  );
  const { webhook } = definition;
  const keyHeaders = new Map(entities.map(({ name, twoWay }) => [name, twoWay?.idempotency?.header]));
  const histories = new Map(entities.map(({ name }) => [name, createSourceHistory()]));
  const source = createHostileSource({
    seed,
    token: TOKEN,
    webhookSecret: SECRET,
    tickMs,
    nowMs: Date.now,
    settings,
    keyHeader: (name) => keyHeaders.get(name) ?? 'idempotency-key',
    onChange({ resource, id, record }) {
      if (isJsonObject(record)) histories.get(resource)?.addState(id, record);
    },
    messageOf: webhook === undefined ? () => null : createEvents(webhook, eventEntities),
  });
  const ids = createRandom(seed, 'ids');
  const newId = () => String(ids.whole(ID_DIGITS.low, ID_DIGITS.high));
  const records = new Map<string, Records>();
  for (const { name, entity, own: one, twoWay } of entities) {
    const { makeRecord, normalise = trimmed, derive = (record) => record } = one;
    const { key, version, deletes } = entity;
    const write = versionWriter(version);
    let isPossible = true;
    const written = (before: JsonObject | null, base: JsonObject, fields: JsonObject) => {
      const merged = mergeJson(base, fields);
      const after: JsonObject = before === null ? Object(merged) : withKeyOf(before, merged, key);
      histories.get(name)?.addWrite({ id: String(valueAt(after, key)), before, after });
      return { ok: true, draft: after } as const;
    };
    const ledger = source.add<JsonObject, JsonObject>(
      {
        name,
        order: version.kind === 'counter' ? 'counter' : 'time',
        idOf: (record) => String(valueAt(record, key)),
        stamp: (draft, at) => withVersion(derive(draft), version, at),
        ...(deletes?.marker === undefined ? {} : { mark: markerOf(deletes.marker) }),
        versionTextOf: (record) =>
          write === null || version.kind === 'none' ? undefined : String(valueAt(record, version.field)),
      },
      (own) => {
        const marker = twoWay?.marker ?? null;
        const dialect = definitionDialect(own, {
          entity,
          params: paramsOf(definition),
          writes: twoWay?.writes ?? null,
          rules: {
            create: (body) =>
              isJsonObject(body) ? written(null, makeRecord(newId(), random), normalise(body)) : NO_OBJECT,
            update: (body, record) => (isJsonObject(body) ? written(record, record, normalise(body)) : NO_OBJECT),
            canDelete: true,
          },
          search:
            marker === null || marker.searchParam === null ? null : { param: marker.searchParam, field: marker.field },
          onUnknownParam(endpoint, param) {
            const names = unknown.get(endpoint) ?? new Set();
            unknown.set(endpoint, names.add(param));
          },
        });
        isPossible = dialect !== null;
        return dialect ?? (() => null);
      },
    );
    if (!isPossible) {
      return {
        impossible: `${name}: its pages are asked for by a field that is not its key, which nothing can stand in for`,
      };
    }
    records.set(name, ledger);
  }
  return { standIn: { source, records, histories, random, newId, unknownParams: () => unknown } };
}

/** What a source makes of what is written to it, where nothing is said of that. */
export const trimmed = (fields: JsonObject): JsonObject => Object(trimTexts(fields));

const NO_OBJECT = { ok: false, problems: [{ field: '', expected: 'an object' }] } as const;

const markerOf =
  ({ field, equals }: NonNullable<NonNullable<EntityDefinition['deletes']>['marker']>) =>
  (record: JsonObject): JsonObject =>
    Object(withValueAt(record, field, equals));

function withKeyOf(record: JsonObject, changed: unknown, key: string): JsonObject {
  const id = valueAt(record, key);
  return Object(withValueAt(Object(changed), key, typeof id === 'number' ? id : String(id)));
}

const paramsOf = ({ source }: IntegrationDefinition): Record<string, string> =>
  Object.fromEntries(Object.keys(source.params ?? {}).map((name) => [name, name]));

/**
 * The same integration against the stand-in: base URL, credentials and secrets are made up; rate limits, schedules, the
 * breaker and the source's headers, which may hold secrets, are left out; webhooks are signed as Standard Webhooks say.
 * Everything else is as it was.
 */
export function redirectedTo(definition: IntegrationDefinition, port: number): IntegrationDefinition {
  const { source, webhook } = definition;
  const { rateLimits: _limits, headers: _headers, breaker: _breaker, ...kept } = source;
  return {
    ...definition,
    source: {
      ...kept,
      baseUrl: `http://127.0.0.1:${port}`,
      auth: bearer({ token: TOKEN }),
      params: paramsOf(definition),
      timeout: REQUEST_TIMEOUT,
    },
    ...(webhook === undefined ? {} : { webhook: withoutSecrets(webhook) }),
    entities: Object.fromEntries(
      Object.entries(definition.entities).map(([name, { reconcile, ...entity }]) => {
        const { incremental: _often, full: _seldom, ...rest } = reconcile ?? {};
        return [name, { ...entity, reconcile: { ...rest, deletions: { maxShare: 1, minimum: 1_000_000 } } }];
      }),
    ),
  };
}

function withoutSecrets(webhook: NonNullable<IntegrationDefinition['webhook']>) {
  const { handshakes: _handshakes, deliveryId: _id, signature, ...kept } = webhook;
  const eventType = webhook.eventType ?? signature.scheme.eventType;
  return {
    ...kept,
    signature: signatures.standardWebhooks({ secrets: [SECRET] }),
    ...(eventType === undefined ? {} : { eventType }),
  };
}

/** The shortest read lag that a definition declares, in milliseconds. */
export const declaredLagMs = ({ entities }: IntegrationDefinition): number =>
  Math.min(
    ...Object.values(entities).map(({ readLag }) => (readLag === undefined ? DEFAULT_LAG_MS : durationMs(readLag))),
  );

const DEFAULT_LAG_MS = 5_000;
