import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { PushState } from '../model/push.ts';
import { type ListedPush, listPushes, readPush, readPushValues } from '../store/push-list.ts';
import { describePush } from '../sync/describe-push.ts';
import { discardDeletes, type ReleasedDeletes, releaseDeletes } from '../sync/held-deletes.ts';
import { discardParked, type Operated, retryParked } from '../sync/parked-in-bulk.ts';
import { discardPush, type NotOperated, retryPush } from '../sync/parked-pushes.ts';
import type { PushDeps } from '../sync/push-deps.ts';
import { streamName } from '../sync/stream.ts';
import { problemOf } from './edit-problems.ts';
import { isEmpty, limitSchema, nameSchema, parseInput } from './input.ts';
import { conflict, type OperatorOptions, streamsOf } from './operator-options.ts';
import { notFound, type ProblemError } from './problem.ts';
import { withTable } from './target-problem.ts';

const OPEN: readonly PushState[] = ['ready', 'calling', 'unknown', 'parked'];
const parkReasonSchema = z.enum([
  'refused',
  'create_unknown',
  'loop_suspected',
  'mass_delete',
  'unmappable',
  'cannot_settle',
]);
const filterSchema = z.strictObject({
  integration: nameSchema.optional(),
  entity: nameSchema.optional(),
  state: z.enum(['open', 'ready', 'calling', 'unknown', 'parked', 'done']).default('open'),
  parked: parkReasonSchema.optional(),
  before: z.uuid().optional(),
  limit: limitSchema,
});
const retrySchema = z.strictObject({ mayDuplicate: z.boolean().default(false) });
const bulkSchema = z.strictObject({
  integration: nameSchema,
  entity: nameSchema.optional(),
  reason: parkReasonSchema.optional(),
  errorCode: nameSchema.optional(),
});
const deletesSchema = z.strictObject({ entity: nameSchema.optional() });

type Id = { Params: { id: string } };
type OfIntegration = { Params: { integration: string } };

/** Edits on their way to the source: looking at them, and deciding about those that wait for a person. */
export function pushRoutes(app: FastifyInstance, options: OperatorOptions): void {
  const { db } = options;
  app.get('/pushes', async (request) => {
    const filter = parseInput(filterSchema, request.query);
    const { integration = null, entity = null, state, parked: parkReason = null, before = null, limit } = filter;
    const states = state === 'open' ? OPEN : [state];
    const found = await listPushes(db, { integration, entity, states, parkReason, before, limit });
    return { pushes: found.map(describePush), next: found.length === limit ? (found.at(-1)?.id ?? null) : null };
  });
  app.get<Id>('/pushes/:id', async (request) => {
    const push = await find(options, request.params.id);
    return { ...describePush(push), values: (await readPushValues(db, push.id))?.patch ?? null };
  });
  app.post('/pushes/retry', async (request) =>
    eachParked(options, request, retryParked, ({ done, left, isMore }) => ({ retried: done, left, isMore })),
  );
  app.post('/pushes/discard', async (request) =>
    eachParked(options, request, discardParked, ({ done, left, isMore }) => ({ discarded: done, left, isMore })),
  );
  app.post<Id>('/pushes/:id/retry', async (request, reply) => {
    const { mayDuplicate } = parseInput(retrySchema, isEmpty(request.body) ? {} : request.body);
    const push = await find(options, request.params.id);
    const deps = depsOf(options, push);
    const retry = () => retryPush(deps, push, { mayDuplicate, correlationId: request.id });
    const done = await withTable(db, deps.stream, retry);
    if (done.kind !== 'retried') throw refusedBy(done);
    return reply.status(202).send(describePush(await find(options, done.pushId)));
  });
  app.delete<Id>('/pushes/:id', async (request, reply) => {
    const push = await find(options, request.params.id);
    const deps = depsOf(options, push);
    const done = await withTable(db, deps.stream, () => discardPush(deps, push, request.id));
    if (done.kind !== 'discarded') throw refusedBy(done);
    return reply.status(204).send();
  });
  app.post<OfIntegration>('/integrations/:integration/deletes/release', async (request) =>
    eachStream(options, request, releaseDeletes),
  );
  app.post<OfIntegration>('/integrations/:integration/deletes/discard', async (request) =>
    eachStream(options, request, discardDeletes),
  );
}

async function find({ db }: OperatorOptions, id: string): Promise<ListedPush> {
  const push = z.uuid().safeParse(id).success ? await readPush(db, id) : null;
  if (push === null) throw notFound('push');
  return push;
}

function depsOf({ pushDeps }: OperatorOptions, push: ListedPush): PushDeps {
  const deps = pushDeps.get(streamName(push));
  if (deps === undefined) throw conflict('not-two-way', 'Its entity is not two-way in the configuration any more');
  return deps;
}

function refusedBy(done: NotOperated): ProblemError {
  switch (done.kind) {
    case 'no_push':
      return notFound('push');
    case 'not_now':
      return conflict('push-not-parked', `The push is ${done.state}: ${done.why}`);
    case 'may_duplicate':
      return conflict(
        'may-duplicate',
        'Nobody knows whether the source has created the record. Look there first; {"mayDuplicate": true} sends it again',
      );
    default:
      return problemOf(done);
  }
}

/** Of each two-way entity of the integration, or of the one that is named. */
async function eachParked<T extends object>(
  options: OperatorOptions,
  { id: correlationId, body }: FastifyRequest,
  work: typeof retryParked,
  show: (operated: Operated) => T,
) {
  const { integration, entity, reason = null, errorCode = null } = parseInput(bulkSchema, body);
  const { stopping } = options;
  const entities: ({ readonly entity: string } & T)[] = [];
  for (const stream of streamsOf(options, integration, entity)) {
    const deps = options.pushDeps.get(streamName(stream.key));
    if (deps === undefined) continue;
    const workAll = () => work(deps, { reason, errorCode }, { correlationId, stopping });
    entities.push({ entity: stream.key.entity, ...show(await withTable(options.db, stream, workAll)) });
  }
  return { integration, entities };
}

async function eachStream(
  options: OperatorOptions,
  { id: correlationId, params: { integration }, body }: FastifyRequest<OfIntegration>,
  work: (deps: PushDeps, correlationId: string) => Promise<ReleasedDeletes>,
) {
  const { entity } = parseInput(deletesSchema, isEmpty(body) ? {} : body);
  const streams = streamsOf(options, integration, entity);
  const done: ({ readonly entity: string } & ReleasedDeletes)[] = [];
  for (const stream of streams) {
    const deps = options.pushDeps.get(streamName(stream.key));
    if (deps === undefined) continue;
    const worked = await withTable(options.db, stream, () => work(deps, correlationId));
    done.push({ entity: stream.key.entity, ...worked });
  }
  return { integration, entities: done };
}
