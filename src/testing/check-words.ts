import { isDeepStrictEqual } from 'node:util';
import type { IntegrationDefinition } from '../define/definition.ts';
import { wayBackOf } from '../define/way-back.ts';
import { durationMs } from '../lib/duration.ts';
import type { EntityDifference } from './check-equality.ts';
import { isEqual } from './check-equality.ts';
import { readWaiting, wordsOfWaiting } from './check-waiting.ts';
import type { RunReport, World } from './check-world.ts';
import type { StandInEntity } from './stand-in.ts';

const MAX_NAMED = 3;
const DEFAULT_LAG_MS = 5_000;

/** A difference in words, a line an entity. */
export const wordsOf = (differences: readonly EntityDifference[]): readonly string[] => differences.map(wordsOfOne);

function wordsOfOne(difference: EntityDifference): string {
  const { entity, records, rows, missing, surplus, different } = difference;
  if (isEqual(difference)) return `${entity}: ${records} records, ${rows} rows, equal.`;
  const parts = [
    ...(missing.length > 0 ? [`${missing.length} without a row (${some(missing)})`] : []),
    ...(surplus.length > 0 ? [`${surplus.length} rows without a record (${some(surplus)})`] : []),
    ...(different.length > 0
      ? [
          `${different.length} rows that differ (${some(different.map(({ id, properties }) => `${id} in ${properties.join(', ')}`))})`,
        ]
      : []),
  ];
  return `${entity}: of ${records} records ${parts.join('; ')}.`;
}

const some = (texts: readonly string[]): string =>
  texts.length <= MAX_NAMED
    ? texts.join(', ')
    : `${texts.slice(0, MAX_NAMED).join(', ')} and ${texts.length - MAX_NAMED} more`;

/** Runs that did not end well. */
export const wordsOfRuns = (runs: readonly RunReport[], mode: string): readonly string[] =>
  runs.flatMap(({ entity, state, error }) =>
    state === 'succeeded' ? [] : [`${entity}: the ${mode} run ended as ${state}${error === null ? '' : `: ${error}`}.`],
  );

export type Reasons = {
  readonly definition: IntegrationDefinition;
  readonly entities: Readonly<Record<string, StandInEntity>>;
  readonly maxLagMs: number;
};

/** What may explain that something did not converge: what the source does, and the definition does not say. */
export async function reasonsOf(world: World, { definition, entities, maxLagMs }: Reasons): Promise<readonly string[]> {
  const reasons: string[] = [];
  for (const [endpoint, names] of world.standIn.unknownParams()) {
    const list = [...names].map((name) => `\`${name}\``).join(', ');
    reasons.push(
      `${endpoint} came with ${list}, which the source does not know and passes over: see \`pagination\`, \`pageSize\` and \`changedSince\`.`,
    );
  }
  for (const [name, entity] of Object.entries(definition.entities)) {
    const declaredMs = entity.readLag === undefined ? DEFAULT_LAG_MS : durationMs(entity.readLag);
    if (maxLagMs > declaredMs)
      reasons.push(
        `${name}: reads of the source are up to ${maxLagMs} ms behind, and \`readLag\` allows for ${declaredMs} ms.`,
      );
    for (const [part, fact] of Object.entries(entities[name]?.facts ?? {})) {
      const declared: unknown = Reflect.get(entity, part);
      if (!isDeepStrictEqual(declared, fact))
        reasons.push(`${name}: \`${part}\` is ${show(fact)} at the source, and the definition says ${show(declared)}.`);
    }
  }
  for (const [name, form] of Object.entries(definition.entities)) {
    if (form.write === undefined) continue;
    const own = form.version.kind === 'none' ? [form.key] : [form.key, form.version.field];
    for (const [property, why] of wayBackOf(form).readOnly) {
      const mapped = form.mapping[property];
      // Nobody expects those to be sent.
      if (mapped?.kind === 'field' && own.includes(mapped.path)) continue;
      reasons.push(`${name}: edits of ${property} are undone, because ${why}.`);
    }
  }
  const waiting = await world.query(`
    SELECT entity, 'conflicts open: ' || kind AS what, count(*)::int AS count
      FROM sync.conflicts WHERE outcome IS NULL GROUP BY 1, 2`);
  for (const { entity, what, count } of waiting) reasons.push(`${entity}: ${count} ${what}`);
  reasons.push(...(await readWaiting(world)).filter(({ state }) => state === 'parked').map(wordsOfWaiting));
  const letters = await world.query(
    `SELECT entity, error_code, min(message) AS message, count(*)::int AS count FROM sync.dead_letters
     WHERE state = 'open' GROUP BY entity, error_code ORDER BY count DESC LIMIT 10`,
  );
  for (const { entity, error_code, message, count } of letters) {
    reasons.push(`${entity ?? 'deliveries'}: ${count} dead letters ${error_code}, such as: ${message}`);
  }
  return reasons;
}

/** Definitions hold no secrets in these parts. */
const show = (part: unknown): string => (part === undefined ? 'nothing of it' : JSON.stringify(part));
