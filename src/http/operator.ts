import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { toDate } from '../model/instant.ts';
import type { Run } from '../model/run.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { closeDeadLetter, listDeadLetters } from '../store/dead-letters.ts';
import { approveRun } from '../store/run-orders.ts';
import { listRuns, readRun } from '../store/runs.ts';
import type { SyncDeps } from '../sync/deps.ts';
import { explainRecord } from '../sync/explain.ts';
import type { Integration } from '../sync/integration.ts';
import { pauseIntegration, resumeIntegration } from '../sync/pause.ts';
import { describeOpenRun, readStatus } from '../sync/read-status.ts';
import { redrive } from '../sync/redrive.ts';
import { type RunAnswer, requestRun } from '../sync/request-run.ts';
import { cancelRun } from '../sync/run-end.ts';
import { type LimitsOf, readPause } from '../sync/source-status.ts';
import type { Stream } from '../sync/stream.ts';
import type { createAccessGuard } from './access.ts';
import { idSchema, isText, limitSchema, nameSchema, parseInput } from './input.ts';
import { notFound, ProblemError } from './problem.ts';

/** How long `?wait=true` waits for a run to end before it answers with the run as it stands. */
const MAX_WAIT_MS = 600_000;
const POLL_MS = 100;
const MAX_IDS = 1_000;
const MAX_RETRIES_AT_ONCE = 1_000;
const MAX_REASON_LENGTH = 500;

export type OperatorOptions = {
  readonly guard: ReturnType<typeof createAccessGuard>;
  readonly db: Db;
  readonly deps: SyncDeps;
  readonly integrations: ReadonlyMap<string, Integration>;
  readonly nextRunAt: (stream: string) => Date | null;
  readonly wakeRuns: () => void;
  readonly limitsOf: LimitsOf;
  /** Fires at shutdown: waits end. */
  readonly stopping: AbortSignal;
};

/** Everything an operator may ask or do. Every route is guarded; errors are problem documents. */
export async function operatorRoutes(app: FastifyInstance, options: OperatorOptions): Promise<void> {
  app.addHook('onRequest', async (request) => options.guard(request));
  statusRoutes(app, options);
  pauseRoutes(app, options);
  runRoutes(app, options);
  deadLetterRoutes(app, options);
  app.get<{ Params: { integration: string; entity: string; id: string } }>(
    '/records/:integration/:entity/:id',
    async (request) => {
      const { integration, entity, id } = request.params;
      const stream = findStream(options, integration, entity);
      const record = isText(id) ? await explainRecord(options.db, stream, id) : null;
      if (record === null) throw notFound('record');
      return record;
    },
  );
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
    const isEmpty = request.body == null || request.body === ''; // some clients send that for nothing
    const { reason = null } = parseInput(pauseSchema, isEmpty ? {} : request.body);
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

const reconcileSchema = z.strictObject({
  integration: nameSchema,
  entity: nameSchema.optional(),
  mode: z.enum(['incremental', 'full']).optional(),
  since: z.iso.datetime({ offset: true, error: 'expected a moment such as 2026-01-31T00:00:00Z' }).optional(),
  ids: z.array(nameSchema).min(1).max(MAX_IDS).optional(),
  dryRun: z.boolean().default(false),
});
const waitSchema = z.object({ wait: z.stringbool().default(false) });

function runRoutes(app: FastifyInstance, options: OperatorOptions): void {
  const { db, wakeRuns, stopping } = options;
  app.post('/sync/reconcile', async (request, reply) => {
    const { wait } = parseInput(waitSchema, request.query);
    const wish = parseInput(reconcileSchema, request.body);
    const streams = streamsOf(options, wish.integration, wish.entity);
    if (wish.ids !== undefined && wish.entity === undefined) throw invalid('ids need an entity');
    const answers: RunAnswer[] = [];
    for (const stream of streams) {
      answers.push(
        await requestRun(db, stream, {
          mode: wish.mode ?? null,
          since: wish.since === undefined ? null : Date.parse(wish.since) * 1000,
          ids: wish.ids ?? null,
          isDryRun: wish.dryRun,
          trigger: 'operator',
        }),
      );
    }
    wakeRuns();
    const queued = answers.flatMap((answer) => (answer.kind === 'queued' ? [answer.run] : []));
    if (queued.length === 0) throw refusal(answers, (await readPause(db, wish.integration)) !== null);
    const underWay = answers.flatMap((answer) => (answer.kind === 'under_way' ? [answer.run.id] : []));
    if (!wait) return reply.status(202).send({ runs: queued.map(showRun), underWay });
    const hungUp = new AbortController();
    reply.raw.once('close', () => hungUp.abort());
    const over = AbortSignal.any([stopping, hungUp.signal]);
    const runs = await Promise.all(queued.map(({ id }) => waitForEnd(db, id, over)));
    return reply.status(runs.some(isOpen) ? 202 : 200).send({ runs: runs.map(showRun), underWay });
  });

  app.get('/sync/runs', async (request) => {
    const filter = parseInput(
      z.object({
        integration: nameSchema.optional(),
        entity: nameSchema.optional(),
        state: z.enum(['queued', 'running', 'braked', 'succeeded', 'partial', 'failed', 'cancelled']).optional(),
        limit: limitSchema,
      }),
      request.query,
    );
    const { integration = null, entity = null, state = null, limit } = filter;
    return { runs: (await listRuns(db, { integration, entity, state, limit })).map(showRun) };
  });
  app.get<{ Params: { id: string } }>('/sync/runs/:id', async (request) =>
    showRun(await findRun(db, request.params.id)),
  );
  app.post<{ Params: { id: string } }>('/sync/runs/:id/cancel', async (request, reply) => {
    const run = await findRun(db, request.params.id);
    const found = (await cancelRun(db, run.id))?.found ?? run.state;
    if (found !== 'queued' && found !== 'running' && found !== 'braked')
      throw conflict('run-ended', `The run is ${found} already`);
    return reply.status(202).send(showRun(await findRun(db, run.id)));
  });
  app.post<{ Params: { id: string } }>('/sync/runs/:id/approve', async (request, reply) => {
    const run = await findRun(db, request.params.id);
    findStream(options, run.integration, run.entity);
    if (!(await approveRun(db, run.id, 'operator'))) {
      const why =
        run.state === 'braked' ? 'another run of its stream is under way' : `the run is ${run.state}, not braked`;
      throw conflict('run-not-braked', why);
    }
    wakeRuns();
    return reply.status(202).send(showRun(await findRun(db, run.id)));
  });
}

function deadLetterRoutes(app: FastifyInstance, { db, deps }: OperatorOptions): void {
  const filterSchema = z.object({
    integration: nameSchema.optional(),
    entity: nameSchema.optional(),
    state: z.enum(['open', 'replayed', 'superseded', 'discarded']).default('open'),
    before: idSchema.optional(),
    limit: limitSchema,
  });
  app.get('/dead-letters', async (request) => {
    const { integration = null, entity = null, state, before = null, limit } = parseInput(filterSchema, request.query);
    const letters = await listDeadLetters(db, { integration, entity, state, before, limit });
    return {
      deadLetters: letters.map(showLetter),
      next: letters.length === limit ? (letters.at(-1)?.id ?? null) : null,
    };
  });
  app.post<{ Params: { id: string } }>('/dead-letters/:id/retry', async (request, reply) => {
    const result = await redrive(deps, parseInput(idSchema, request.params.id));
    if (result === null) throw notFound('dead letter');
    if (result.kind === 'gone') throw conflict('dead-letter-gone', result.reason);
    if (result.kind === 'still_bad') throw conflict('dead-letter-still-bad', result.reason);
    return reply.status(202).send({ retried: result.kind });
  });
  app.post('/dead-letters/retry', async (request) => {
    const filter = parseInput(
      z.strictObject({
        integration: nameSchema,
        entity: nameSchema.optional(),
        limit: z.number().int().min(1).max(MAX_RETRIES_AT_ONCE).default(MAX_RETRIES_AT_ONCE),
      }),
      request.body,
    );
    const { integration, entity = null, limit } = filter;
    const letters = await listDeadLetters(db, { integration, entity, state: 'open', before: null, limit });
    const counts = { retried: 0, stillBad: 0, gone: 0 };
    for (const { id } of letters) {
      const result = await redrive(deps, id);
      if (result?.kind === 'still_bad') counts.stillBad++;
      else if (result === null || result.kind === 'gone') counts.gone++;
      else counts.retried++;
    }
    return counts;
  });
  app.delete<{ Params: { id: string } }>('/dead-letters/:id', async (request, reply) => {
    const id = parseInput(idSchema, request.params.id);
    if (await closeDeadLetter(db, id, 'discarded')) return reply.status(204).send();
    throw notFound('open dead letter');
  });
}

function streamsOf(options: OperatorOptions, integrationName: string, entity: string | undefined): Stream[] {
  const integration = options.integrations.get(integrationName);
  if (integration === undefined) throw notFound('integration');
  if (entity === undefined) return [...integration.streams.values()];
  return [findStream(options, integrationName, entity)];
}

function findStream({ integrations }: OperatorOptions, integration: string, entity: string): Stream {
  const stream = integrations.get(integration)?.streams.get(entity);
  if (stream === undefined) throw notFound('entity');
  return stream;
}

async function findRun(db: Db, id: string): Promise<Run> {
  const run = z.uuid().safeParse(id).success ? await readRun(db, id) : null;
  if (run === null) throw notFound('run');
  return run;
}

/** Nothing was queued: every stream is busy, or cannot do what was asked. */
function refusal(answers: readonly RunAnswer[], isPaused: boolean): ProblemError {
  const runs = answers.flatMap((answer) => (answer.kind === 'under_way' ? [answer.run] : []));
  if (runs.length > 0) {
    const detail = runs.map((run) => describeOpenRun(run, isPaused)).join('; ');
    return conflict('run-under-way', detail, { runs: runs.map(({ id }) => id) });
  }
  return invalid(answers.flatMap((answer) => (answer.kind === 'impossible' ? [answer.reason] : [])).join('; '));
}

const conflict = (code: string, detail: string, more: { readonly [member: string]: unknown } = {}): ProblemError =>
  new ProblemError({ status: 409, code, title: 'This cannot be done now', detail, more });
const invalid = (detail: string): ProblemError =>
  new ProblemError({ status: 422, code: 'invalid-input', title: 'The request does not fit', detail });

/** Also ends when nothing is to be waited for: the integration is paused. @returns the run as it stands then. */
async function waitForEnd(db: Db, id: string, over: AbortSignal): Promise<Run> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const run = await findRun(db, id);
    if (!isOpen(run) || waitedMs >= MAX_WAIT_MS || over.aborted) return run;
    if ((await readPause(db, run.integration)) !== null) return run;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const isOpen = ({ state }: Run): boolean => state === 'queued' || state === 'running';

const iso = (at: number | null): string | null => (at === null ? null : toDate(at).toISOString());

const showRun = (run: Run) => ({
  id: run.id,
  integration: run.integration,
  entity: run.entity,
  mode: run.mode,
  trigger: run.trigger,
  dryRun: run.isDryRun,
  backfill: run.isBackfill,
  state: run.state,
  createdAt: iso(run.createdAt),
  startedAt: iso(run.startedAt),
  finishedAt: iso(run.finishedAt),
  pages: run.pages,
  resumeAt: iso(run.resumeAt),
  stalls: run.stalls,
  counts: run.counts,
  candidates: run.candidates,
  liveBefore: run.liveBefore,
  approvedBy: run.approvedBy,
  error: run.errorCode === null ? null : { code: run.errorCode, message: run.error },
});

const showLetter = (letter: DeadLetter) => ({ ...letter, firstAt: iso(letter.firstAt), lastAt: iso(letter.lastAt) });
