import { z } from 'zod';
import type { Environment } from '../lib/setting.ts';
import { type SourceDefinition, sourceSchema } from '../source/definition.ts';
import { resolveSource } from '../source/resolve.ts';
import { checkEndpoints, checkLookups } from './check-endpoints.ts';
import { checkEntity, type EntityFacts } from './check-entity.ts';
import { checkWebhook } from './check-webhook.ts';
import type { ConfigDefinition } from './definition.ts';
import { type ConfigProblem, checkShape, createPlace, type Place } from './problems.ts';
import { NAME, NAME_SYNTAX } from './schemas.ts';

export type { ConfigProblem } from './problems.ts';

export type ConfigCheck =
  | { readonly ok: true; readonly definition: ConfigDefinition }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const configSchema = z.strictObject({
  integrations: z.array(z.unknown()).min(1, { error: 'expected at least one integration' }),
  migrations: z
    .union([z.string().min(1), z.instanceof(URL)], { error: 'expected the path or file URL of a folder' })
    .optional(),
});

const nameSchema = z.string().regex(NAME, { error: NAME_SYNTAX });
const entitiesSchema = z
  .record(z.string(), z.unknown())
  .refine((entities) => Object.keys(entities).length > 0, { error: 'expected at least one entity' });
const INTEGRATION_PARTS = ['name', 'source', 'endpoints', 'webhook', 'entities'];

/**
 * Checks a whole definition and the environment that it names. Every problem at once, each with its path in the definition
 * and what would be right; none shows a value. Nothing is connected or kept: settings are looked up again where they are used.
 */
export function checkConfig(definition: unknown, environment: Environment): ConfigCheck {
  const problems: ConfigProblem[] = [];
  const place = createPlace(problems);
  try {
    const config = checkShape(configSchema, definition, place);
    const names = new Map<string, number>(); // and which integration has it
    for (const [index, integration] of (config?.integrations ?? listIn(definition)).entries()) {
      checkIntegration(integration, { environment, names, index, place: place.at('integrations', index) });
    }
  } catch {
    place.add('cannot be read: something in it throws');
  }
  return isSound(definition, problems) ? { ok: true, definition } : { ok: false, problems };
}

/** The integrations of a definition that is wrong elsewhere. */
function listIn(definition: unknown): readonly unknown[] {
  if (typeof definition !== 'object' || definition === null) return [];
  const list: unknown = Reflect.get(definition, 'integrations');
  return Array.isArray(list) ? list : [];
}

function isSound(_definition: unknown, problems: readonly ConfigProblem[]): _definition is ConfigDefinition {
  return problems.length === 0;
}

type IntegrationContext = { environment: Environment; names: Map<string, number>; index: number; place: Place };

function checkIntegration(definition: unknown, { environment, names, index, place }: IntegrationContext): void {
  if (checkShape(z.looseObject({}), definition, place) === null) return;
  const parts: Readonly<Record<string, unknown>> = { ...Object(definition) };
  for (const key of Object.keys(parts)) {
    if (!INTEGRATION_PARTS.includes(key)) place.at(key).add('is no option here; look for a typing error');
  }
  const name = checkShape(nameSchema, parts.name, place.at('name'));
  if (name !== null) {
    const other = names.get(name);
    if (other === undefined) names.set(name, index);
    else place.at('name').add(`is the name of integrations[${other}] already`);
  }
  const params = checkSource(name ?? '', parts.source, environment, place.at('source'));
  const entities = checkEntities(parts.entities, params, place.at('entities'));
  const endpoints = checkEndpoints(parts.endpoints, params, place.at('endpoints'));
  for (const [entity, form] of Object.entries(Object(parts.entities))) {
    const mapping = typeof form === 'object' && form !== null ? Reflect.get(form, 'mapping') : null;
    const context = { endpoints, entities: [...entities.keys()], params };
    checkLookups(mapping, context, place.at('entities', entity, 'mapping'));
  }
  if (parts.webhook !== undefined) checkWebhook(parts.webhook, entities, environment, place.at('webhook'));
}

/** @returns the names that paths can use as placeholders. */
function checkSource(name: string, definition: unknown, environment: Environment, place: Place): readonly string[] {
  if (checkShape(sourceSchema, definition, place) === null || !isSource(definition)) return [];
  const resolution = resolveSource(name, definition, environment);
  if (!resolution.ok) for (const { path, problem } of resolution.problems) place.add(problem, path);
  return Object.keys(definition.params ?? {});
}

const isSource = (definition: unknown): definition is SourceDefinition => sourceSchema.safeParse(definition).success;

function checkEntities(
  definition: unknown,
  params: readonly string[],
  place: Place,
): ReadonlyMap<string, EntityFacts | null> {
  const facts = new Map<string, EntityFacts | null>();
  const entities = checkShape(entitiesSchema, definition, place);
  for (const [name, entity] of Object.entries(entities ?? {})) {
    if (!NAME.test(name)) place.at(name).add(NAME_SYNTAX);
    facts.set(name, checkEntity(entity, params, place.at(name)));
  }
  return facts;
}
