import {
  DEFAULT_CONCURRENCY,
  DEFAULT_MAX_ATTEMPTS,
  DEFAULT_TIMEOUT_MS,
  type SourceDefinition,
} from '../../source/definition.ts';
import { methodOf } from '../../source/endpoint.ts';
import { DEFAULT_FAILURES } from '../../source/failure/default-failures.ts';
import { CODE_OF_ACTION, type FailureRule } from '../../source/failure/definition.ts';
import { prepareRateLimits } from '../../source/rate-limit/definition.ts';
import { describeRateLimits } from '../../source/rate-limit/describe.ts';
import type { IntegrationDefinition } from '../definition.ts';
import { code, list, table } from './markdown.ts';
import { optionRows } from './options.ts';

/** How the source is reached, authenticated and spared: sections of Markdown. */
export const describeSource = ({ source, endpoints }: IntegrationDefinition): string =>
  [
    `## Source\n\n${describeReach(source)}`,
    `## Authentication\n\n${describeAuth(source)}`,
    `## Rate limits\n\n${describeLimits(source)}`,
    `## Error handling\n\n${describeFailures(source)}`,
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
  const rows = describeRateLimits(prepareRateLimits(rateLimits)).map(({ name, match, rule }) => [
    name,
    match === null ? 'every request' : code(match),
    rule,
  ]);
  const weights = rateLimits.flatMap((limit) =>
    Object.entries(limit.weights ?? {}).map(([pattern, weight]) => `${code(pattern)} counts for ${weight}`),
  );
  const learned =
    learnRateLimits === false
      ? 'What answers tell of other limits is not kept.'
      : 'Limits that answers tell of are kept as well.';
  return [
    table(['name', 'counts', 'limit'], rows, 'None is declared.'),
    ...(weights.length === 0 ? [] : [list(weights)]),
    `${learned} All processes share them.`,
  ].join('\n\n');
}

/** Rules of the source first, since they are tried first. */
function describeFailures({ failures = [] }: SourceDefinition): string {
  const own = failures.map(({ then, ...when }) => [describeConditions(when), code(then), code(CODE_OF_ACTION[then])]);
  const defaults = DEFAULT_FAILURES.map(({ status, withLimitSigns, code: means }) => [
    withLimitSigns === undefined ? code(String(status)) : `${code(String(status))} with signs of a limit`,
    '',
    code(means),
  ]);
  return table(['answer', 'rule', 'code'], [...own, ...defaults]);
}

function describeConditions({ status, code: value, body, header }: Omit<FailureRule, 'then'>): string {
  const parts = [
    status === undefined ? null : `status ${code([status].flat().join(', '))}`,
    value === undefined ? null : `${code(value.path)} is ${code(JSON.stringify(value.equals))}`,
    header === undefined
      ? null
      : `header ${code(header.name)}${header.equals === undefined ? '' : ` is ${code(header.equals)}`}`,
    body === undefined ? null : 'a function of the body says so',
  ];
  return parts.filter((part) => part !== null).join(' and ');
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
