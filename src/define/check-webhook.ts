import { type Environment, readSetting, type Setting } from '../lib/setting.ts';
import { type CheckedWebhook, webhookDefinitionSchema } from '../webhook/definition.ts';
import { findSecretProblems } from '../webhook/verify.ts';
import type { EntityFacts } from './check-entity.ts';
import { checkShape, type Place } from './problems.ts';

/** Entities by name; null for those that are too broken to say anything about. */
export type Entities = ReadonlyMap<string, EntityFacts | null>;

/** Checks how an integration takes webhooks, its secrets included. */
export function checkWebhook(definition: unknown, entities: Entities, environment: Environment, place: Place): void {
  const webhook = checkShape(webhookDefinitionSchema, definition, place);
  if (webhook === null) return;
  checkSecrets(webhook, environment, place);
  checkHandshakes(webhook, environment, place);
  checkRoutes(webhook, entities, place.at('events'));
}

function checkSecrets({ signature }: CheckedWebhook, environment: Environment, webhook: Place): void {
  const place = webhook.at('signature', 'secrets');
  const values = signature.secrets.map((setting, index) => lookUp(setting, environment, place.at(index)));
  const found = values.flatMap((value, index) => (value === null ? [] : [{ value, index }]));
  const texts = found.map(({ value }) => value);
  if (texts.length === 0) return;
  for (const { index, problem } of findSecretProblems(signature.scheme, texts)) {
    place.at(found[index]?.index ?? index).add(problem);
  }
}

function checkHandshakes({ signature, handshakes }: CheckedWebhook, environment: Environment, webhook: Place): void {
  const lists = [
    { list: signature.handshakes ?? [], place: webhook.at('signature', 'handshakes') },
    { list: handshakes, place: webhook.at('handshakes') },
  ];
  for (const { list, place } of lists) {
    for (const [index, handshake] of list.entries()) {
      if (handshake.kind !== 'query-challenge' || handshake.verifyToken === undefined) continue;
      lookUp(handshake.verifyToken.secret, environment, place.at(index, 'verifyToken', 'secret'));
    }
  }
}

function lookUp(setting: Setting, environment: Environment, place: Place): string | null {
  const result = readSetting(setting, environment);
  if (result.ok) return result.value;
  place.add(result.problem);
  return null;
}

function checkRoutes({ events }: CheckedWebhook, entities: Entities, place: Place): void {
  for (const [type, routes] of Object.entries(events)) {
    for (const [index, route] of routes.entries()) {
      const here = routes.length === 1 ? place.at(type) : place.at(type, index);
      const facts = entities.get(route.entity);
      if (facts === undefined) {
        here
          .at('entity')
          .add(`names no entity of this integration; it has ${[...entities.keys()].join(', ') || 'none'}`);
      }
      if (facts === undefined || facts === null) continue;
      const needsRead = route.payload === 'id' && route.deletes !== true;
      if (needsRead && !facts.canGet) here.at('payload').add('an id alone needs read.get of its entity');
      if (route.payload === 'partial' && !facts.takesPartial) {
        here.at('payload').add('partial payloads need a z.object schema, whose fields can be checked one by one');
      }
    }
  }
}
