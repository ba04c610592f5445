import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Db } from '../db/connect.ts';
import type { Run } from '../model/run.ts';
import { approveRun } from '../store/run-orders.ts';
import { listRuns, readRun } from '../store/runs.ts';
import { describeOpenRun } from '../sync/read-status.ts';
import { rebaseline } from '../sync/rebaseline.ts';
import { type RunAnswer, requestRun } from '../sync/request-run.ts';
import { cancelRun } from '../sync/run-end.ts';
import { readPause } from '../sync/source-status.ts';
import { limitSchema, nameSchema, parseInput, waitSchema } from './input.ts';
import { conflict, findStream, invalid, iso, type OperatorOptions, streamsOf } from './operator-options.ts';
import { notFound, type ProblemError } from './problem.ts';

/** How long `?wait=true` waits for a run to end before it answers with the run as it stands. */
const MAX_WAIT_MS = 600_000;
const POLL_MS = 100;
const MAX_IDS = 1_000;

const reconcileSchema = z.strictObject({
  integration: nameSchema,
  entity: nameSchema.optional(),
  mode: z.enum(['incremental', 'full']).optional(),
  since: z.iso.datetime({ offset: true, error: 'expected a moment such as 2026-01-31T00:00:00Z' }).optional(),
  ids: z.array(nameSchema).min(1).max(MAX_IDS).optional(),
  dryRun: z.boolean().default(false),
});

/** Starting, watching and stopping runs. */
export function runRoutes(app: FastifyInstance, options: OperatorOptions): void {
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

  app.post<{ Params: { integration: string; entity: string } }>(
    '/streams/:integration/:entity/rebaseline',
    async (request, reply) => {
      const { key } = findStream(options, request.params.integration, request.params.entity);
      const records = await rebaseline(db, key);
      return reply.status(202).send({ ...key, records, isFullRunOwed: true });
    },
  );

  app.get('/sync/runs', async (request) => {
    const filter = parseInput(
      z.strictObject({
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
