import { capabilitiesOf } from './define/capabilities.ts';
import type { EntityDefinition, IntegrationDefinition } from './define/definition.ts';
import { describeTarget } from './define/target.ts';
import { durationMs } from './lib/duration.ts';
import { type Environment, readSetting, type Setting } from './lib/setting.ts';
import { createMapper } from './mapping/mapper.ts';
import type { SourceClient } from './source/client.ts';
import { newCredentialsOf } from './source/new-credentials.ts';
import type { Integration, Webhook } from './sync/integration.ts';
import { lookupNamesOf, lookupSourcesOf } from './sync/lookup-sources.ts';
import { createLookups, type LookupDeps, type Lookups } from './sync/lookups.ts';
import { prepareTwoWay } from './sync/prepare-two-way.ts';
import type { ChangedSince, Stream } from './sync/stream.ts';
import { type CheckedWebhook, webhookDefinitionSchema } from './webhook/definition.ts';
import { prepareDeliveryReader } from './webhook/delivery.ts';
import { prepareHandshakes } from './webhook/handshake.ts';
import type { Locator } from './webhook/locator.ts';
import { prepareRoutes } from './webhook/routes.ts';
import { prepareVerifier } from './webhook/verify.ts';

const DEFAULT_MAX_SHARE = 0.1;
const DEFAULT_MINIMUM = 20;
const DEFAULT_DEADLINE_MS = 24 * 3_600_000;
const MICROS_PER_MS = 1000n;
const MICROS_PER_S = 1_000_000n;

export type AssembleOptions = {
  readonly environment: Environment;
  readonly publicUrl: string | null;
  readonly clientOf: (integration: IntegrationDefinition) => SourceClient;
  /** What tables for lookups are loaded with. */
  readonly lookups: Omit<LookupDeps, 'client' | 'integration'>;
};

/** Makes a checked definition ready to work: everything that can be prepared once is. Throws only on an unchecked one. */
export function assembleIntegration(definition: IntegrationDefinition, options: AssembleOptions): Integration {
  const { name } = definition;
  const client = options.clientOf(definition);
  const webhook = definition.webhook === undefined ? null : webhookDefinitionSchema.parse(definition.webhook);
  const lookups = createLookups({ ...options.lookups, client, integration: name }, lookupSourcesOf(definition));
  const streams = Object.entries(definition.entities).map(([entity, form]) => {
    const keepsBase = form.write !== undefined || (webhook !== null && hasPartialPayloads(webhook, entity));
    const names = lookupNamesOf(form);
    const own = names.size === 0 ? null : lookups(names);
    return [entity, assembleStream({ integration: name, entity, form, client, keepsBase, lookups: own })] as const;
  });
  return {
    name,
    newCredentials: newCredentialsOf(definition.source),
    webhook: webhook === null ? null : assembleWebhook(name, webhook, options),
    streams: new Map(streams),
  };
}

const hasPartialPayloads = (webhook: CheckedWebhook, entity: string): boolean =>
  Object.values(webhook.events).some((routes) =>
    routes.some((route) => route.entity === entity && route.payload === 'partial'),
  );

type StreamParts = {
  integration: string;
  entity: string;
  form: EntityDefinition;
  client: SourceClient;
  keepsBase: boolean;
  lookups: Lookups | null;
};

function assembleStream({ integration, entity, form, client, keepsBase, lookups }: StreamParts): Stream {
  const target = describeTarget(form);
  const { schema, key, version, only, mapping } = form;
  const mapper = createMapper({
    integration,
    entity,
    schema,
    key,
    version,
    marker: form.deletes?.marker,
    only,
    mapping,
    target,
    lookups: lookups?.read,
  });
  return {
    key: { integration, entity },
    caps: capabilitiesOf(form),
    target,
    mapper,
    keepsBase,
    client,
    list: form.read.list,
    changedSince: changedSinceOf(form),
    get: form.read.get ?? null,
    getMany: form.read.getMany ?? null,
    deletions: {
      maxShare: form.reconcile?.deletions?.maxShare ?? DEFAULT_MAX_SHARE,
      minimum: form.reconcile?.deletions?.minimum ?? DEFAULT_MINIMUM,
    },
    repairs: form.reconcile?.repair ?? true,
    lookups,
    twoWay: prepareTwoWay(form, target),
    deadlineMs: form.reconcile?.deadline === undefined ? DEFAULT_DEADLINE_MS : durationMs(form.reconcile.deadline),
  };
}

function changedSinceOf({ read, version }: EntityDefinition): ChangedSince | null {
  const since = read.changedSince;
  if (since === undefined) return null;
  const format = since.format ?? (version.kind === 'timestamp' ? (version.format ?? 'iso') : 'raw');
  const overlapMs = since.overlap === undefined ? 0 : durationMs(since.overlap);
  return {
    param: since.param,
    format: KEY_FORMATS[format],
    query: Object.fromEntries(Object.entries(since.query ?? {}).map(([name, value]) => [name, String(value)])),
    overlap: version.kind === 'timestamp' ? BigInt(overlapMs) * MICROS_PER_MS : 0n,
  };
}

/** Keys of timestamped records are microseconds. Fractions are cut, never rounded up: a later key would skip records. */
const KEY_FORMATS = {
  iso: (key: bigint) => new Date(Number(key / MICROS_PER_MS)).toISOString().replace('.000Z', 'Z'),
  epoch_s: (key: bigint) => String(key / MICROS_PER_S),
  epoch_ms: (key: bigint) => String(key / MICROS_PER_MS),
  raw: (key: bigint) => String(key),
} as const;

function assembleWebhook(name: string, webhook: CheckedWebhook, { environment, publicUrl }: AssembleOptions): Webhook {
  const { signature } = webhook;
  const secrets = signature.secrets.flatMap((setting) => settingValue(setting, environment) ?? []);
  const definitions = [...(signature.handshakes ?? []), ...webhook.handshakes];
  const eventType = webhook.eventType ?? signature.scheme.eventType ?? [];
  return {
    verify: prepareVerifier(signature.scheme, secrets),
    delivery: prepareDeliveryReader({
      scheme: signature.scheme,
      deliveryId: webhook.deliveryId,
      eventType: webhook.eventType,
      isBatch: webhook.batch !== undefined,
    }),
    routes: prepareRoutes(webhook),
    answerHandshake: prepareHandshakes(definitions, (setting) => settingValue(setting, environment)),
    maxBodyBytes: webhook.maxBodyBytes,
    keptHeaders: ['content-type', ...eventType.flatMap(headerNames)],
    publicUrl: publicUrl === null ? null : `${publicUrl.replace(/\/$/, '')}/webhooks/${name}`,
  };
}

const headerNames = (locator: Locator): readonly string[] =>
  locator.from === 'header' ? locator.names.map((header) => header.toLowerCase()) : [];

function settingValue(setting: Setting, environment: Environment): string | null {
  const result = readSetting(setting, environment);
  return result.ok ? result.value : null;
}
