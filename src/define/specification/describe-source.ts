import {
  DEFAULT_CONCURRENCY,
  DEFAULT_MAX_ATTEMPTS,
  DEFAULT_TIMEOUT_MS,
  type SourceDefinition,
} from '../../source/definition.ts';
import { methodOf } from '../../source/endpoint.ts';
import type { IntegrationDefinition } from '../definition.ts';
import { code, table } from './markdown.ts';
import { optionRows } from './options.ts';

/** How the source is reached, authenticated and spared: sections of Markdown. */
export const describeSource = ({ source, endpoints }: IntegrationDefinition): string =>
  [
    `## Source\n\n${describeReach(source)}`,
    `## Authentication\n\n${describeAuth(source)}`,
    `## Rate limits\n\n${describeLimits(source)}`,
    `## Caching\n\n${describeCaching(endpoints ?? {})}`,
  ].join('\n\n');

function describeReach({ baseUrl, maxAttempts, timeout, concurrency }: SourceDefinition): string {
  const tries = `${maxAttempts ?? DEFAULT_MAX_ATTEMPTS} for one request`;
  return table(
    ['', ''],
    [
      ['base URL', code(typeof baseUrl === 'string' ? baseUrl : baseUrl.toJSON())],
      ['attempts', `${tries}, each within ${timeout ?? `${DEFAULT_TIMEOUT_MS / 1_000}s`}`],
      ['at the same time', `${concurrency ?? DEFAULT_CONCURRENCY} requests in one process`],
    ],
  );
}

const describeAuth = ({ auth }: SourceDefinition): string =>
  auth === undefined ? 'None.' : `${code(auth.kind)}\n\n${table(['option', 'value'], optionRows(auth))}`;

function describeLimits({ rateLimits = [], learnRateLimits }: SourceDefinition): string {
  const rows = rateLimits.map(({ name, match, requests, per, window, concurrent, weights }) => [
    name ?? '',
    match === undefined ? 'every request' : code(match),
    requests === undefined ? '' : `${requests} per ${per} (${window ?? 'rolling'})`,
    concurrent === undefined ? '' : String(concurrent),
    Object.entries(weights ?? {})
      .map(([pattern, weight]) => `${code(pattern)} ${weight}`)
      .join(', '),
  ]);
  const learned =
    learnRateLimits === false
      ? 'What answers tell of other limits is not kept.'
      : 'Limits that answers tell of are kept as well.';
  const heads = ['name', 'counts', 'requests', 'at the same time', 'weights'];
  return `${table(heads, rows, 'None is declared.')}\n\n${learned} All processes share them.`;
}

function describeCaching(endpoints: NonNullable<IntegrationDefinition['endpoints']>): string {
  const rows = Object.entries(endpoints)
    .filter(([, { cache = 'none' }]) => cache !== 'none')
    .map(([name, endpoint]) => [
      code(name),
      code(`${methodOf(endpoint)} ${endpoint.path}`),
      code(endpoint.cache ?? 'none'),
    ]);
  return `${table(['endpoint', 'request', 'kept for'], rows, 'No answer is served from memory.')}\n\nRecords of entities never are.`;
}
