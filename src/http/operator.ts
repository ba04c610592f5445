import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { pauseIntegration, resumeIntegration } from '../sync/pause.ts';
import { readStatus } from '../sync/read-status.ts';
import { readPause } from '../sync/source-status.ts';
import { conflictRoutes } from './conflicts.ts';
import { deadLetterRoutes } from './dead-letters.ts';
import { isEmpty, isText, parseInput } from './input.ts';
import type { OperatorOptions } from './operator-options.ts';
import { notFound } from './problem.ts';
import { pushRoutes } from './pushes.ts';
import { recordRoutes } from './records.ts';
import { runRoutes } from './runs.ts';

const MAX_REASON_LENGTH = 500;
/** Answers from this status on have done nothing. */
const REFUSED = 400;

/** Everything an operator may ask or do. Every route is guarded, what is done is logged; errors are problem documents. */
export async function operatorRoutes(app: FastifyInstance, options: OperatorOptions): Promise<void> {
  app.addHook('onRequest', async (request) => options.guard(request));
  app.addHook('onResponse', async (request, reply) => {
    if (request.method === 'GET' || request.method === 'HEAD' || reply.statusCode >= REFUSED) return;
    const action = `${request.method} ${request.routeOptions.url}`;
    const on = { ...namesIn(request), ...(request.params as object) };
    const details = { action, on, status: reply.statusCode, correlationId: request.id };
    options.deps.log.info(details, 'done for an operator');
  });
  statusRoutes(app, options);
  pauseRoutes(app, options);
  runRoutes(app, options);
  deadLetterRoutes(app, options);
  recordRoutes(app, options);
  conflictRoutes(app, options);
  pushRoutes(app, options);
}

const NAMES: readonly string[] = ['integration', 'entity'];
/** Also what a filter of pushes names; elsewhere a reason is a person's own words. */
const PUSH_NAMES: readonly string[] = [...NAMES, 'reason', 'errorCode'];

/** What a route is told to work on in its body. Nothing of a record's, whose properties may be called anything. */
function namesIn({ routeOptions, body }: FastifyRequest): { [name: string]: unknown } {
  if (routeOptions.url?.startsWith('/records/') || typeof body !== 'object' || body === null) return {};
  const told = routeOptions.url?.startsWith('/pushes/') ? PUSH_NAMES : NAMES;
  return Object.fromEntries(Object.entries(body).filter(([name]) => told.includes(name)));
}

function statusRoutes(app: FastifyInstance, options: OperatorOptions): void {
  const { db, integrations } = options;
  app.get('/status', async () => ({ integrations: await readStatus(db, [...integrations.values()], options) }));
  app.get<{ Params: { integration: string } }>('/status/:integration', async (request) => {
    const integration = integrations.get(request.params.integration);
    if (integration === undefined) throw notFound('integration');
    const [status] = await readStatus(db, [integration], options);
    return status;
  });
}

const reasonSchema = z
  .string()
  .trim()
  .min(1)
  .max(MAX_REASON_LENGTH)
  .refine((text) => isText(text) && !/\p{Cc}/u.test(text), 'expected well-formed text without control characters');
const pauseSchema = z.strictObject({ reason: reasonSchema.optional() });

/** Both may be repeated, and answer with how the integration stands then. */
function pauseRoutes(app: FastifyInstance, { db, deps, integrations, wakeRuns }: OperatorOptions): void {
  const find = (name: string): string => {
    if (!integrations.has(name)) throw notFound('integration');
    return name;
  };
  app.post<{ Params: { integration: string } }>('/integrations/:integration/pause', async (request) => {
    const integration = find(request.params.integration);
    const { reason = null } = parseInput(pauseSchema, isEmpty(request.body) ? {} : request.body);
    await pauseIntegration(db, integration, reason);
    return { integration, paused: await readPause(db, integration) };
  });
  app.post<{ Params: { integration: string } }>('/integrations/:integration/resume', async (request) => {
    const integration = find(request.params.integration);
    if (await resumeIntegration(db, integration, 'operator')) {
      wakeRuns();
      deps.wakeHints();
    }
    return { integration, paused: await readPause(db, integration) };
  });
}
