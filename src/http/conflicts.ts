import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Content } from '../model/observation.ts';
import { type ListedConflict, listConflicts, readConflict } from '../store/conflict-list.ts';
import { isMatch } from '../sync/edit-place.ts';
import { readEditValues } from '../sync/edit-values.ts';
import type { PushDeps } from '../sync/push-deps.ts';
import { conflictTag, type Resolution, type Resolved, resolveConflict } from '../sync/resolve-conflict.ts';
import { streamName } from '../sync/stream.ts';
import { versionText } from '../sync/version-text.ts';
import { problemOf, unfit } from './edit-problems.ts';
import { readIfMatch } from './if-match.ts';
import { limitSchema, nameSchema, parseInput } from './input.ts';
import { iso, type OperatorOptions, conflict as refusal } from './operator-options.ts';
import { notFound, ProblemError } from './problem.ts';
import { withTable } from './target-problem.ts';

const filterSchema = z.strictObject({
  integration: nameSchema.optional(),
  entity: nameSchema.optional(),
  state: z.enum(['open', 'closed']).optional(),
  before: z.uuid().optional(),
  limit: limitSchema,
});
const sideSchema = z.enum(['local', 'remote'], { error: 'expected local or remote' });
const chosenSchema = z.union([sideSchema, z.strictObject({ value: z.json() })], {
  error: 'expected local, remote, or {"value": …}',
});
const resolveSchema = z.strictObject({
  choose: z.union([sideSchema, z.record(nameSchema, chosenSchema)], {
    error: 'expected local, remote, or one of them by property',
  }),
});

type Id = { Params: { id: string } };

/** Values of both sides that met: looking at them, and deciding those that wait for a person. */
export function conflictRoutes(app: FastifyInstance, options: OperatorOptions): void {
  const { db } = options;
  app.get('/conflicts', async (request) => {
    const filter = parseInput(filterSchema, request.query);
    const { integration = null, entity = null, state = null, before = null, limit } = filter;
    const found = await listConflicts(db, { integration, entity, state, before, limit });
    return {
      conflicts: found.map((one) => show(options, one, 'fields')),
      next: found.length === limit ? (found.at(-1)?.id ?? null) : null,
    };
  });
  app.get<Id>('/conflicts/:id', async (request, reply) => {
    const found = await find(options, request.params.id);
    reply.header('etag', conflictTag(found));
    return show(options, found, 'record');
  });
  app.post<Id>('/conflicts/:id/resolve', async (request, reply) => resolve(options, request, reply));
}

async function resolve(
  options: OperatorOptions,
  request: FastifyRequest<Id>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { choose } = parseInput(resolveSchema, request.body);
  const ifMatch = readIfMatch(request.headers['if-match']);
  const found = await find(options, request.params.id);
  const deps = options.pushDeps.get(streamName(found));
  if (deps === undefined) throw refusal('not-two-way', 'Its entity is not two-way in the configuration any more');
  if (!isMatch(conflictTag(found), ifMatch)) throw changed(options, found);
  const resolution = typeof choose === 'string' ? choose : readChoice(deps, choose);
  const resolve = () => resolveConflict(deps, found, resolution, request.id);
  const resolved = await withTable(options.db, deps.stream, resolve);
  if (resolved.kind !== 'resolved') throw await refusedBy(options, found, resolved);
  const now = await find(options, found.id);
  return reply.status(200).send({ ...show(options, now, 'record'), push: resolved.pushId });
}

/** A value of a person's own is one of ours: it is brought to the source. */
function readChoice({ stream }: PushDeps, choose: { [property: string]: z.infer<typeof chosenSchema> }): Resolution {
  const own = Object.entries(choose).flatMap(([property, side]) =>
    typeof side === 'string' ? [] : [[property, side.value] as const],
  );
  const sides = new Map(
    Object.entries(choose).map(([property, side]) => [property, typeof side === 'string' ? side : 'local'] as const),
  );
  if (own.length === 0) return { sides, values: {} };
  const read = readEditValues(stream, Object.fromEntries(own), 'some');
  if (!read.ok) throw unfit(read.problems);
  return { sides, values: read.edit.values };
}

async function refusedBy(
  options: OperatorOptions,
  { id }: ListedConflict,
  resolved: Exclude<Resolved, { kind: 'resolved' }>,
): Promise<ProblemError> {
  switch (resolved.kind) {
    case 'closed':
      return refusal('conflict-closed', 'It is decided already');
    case 'changed':
      return changed(options, await find(options, id));
    case 'impossible':
      return new ProblemError({
        status: 422,
        code: 'invalid-input',
        title: 'The request does not fit',
        detail: resolved.why,
      });
    default:
      return problemOf(resolved);
  }
}

/** What is to be decided now is shown with it. */
const changed = (options: OperatorOptions, now: ListedConflict): ProblemError =>
  now.outcome === null
    ? refusal(
        'conflict-changed',
        'The record has changed since, here or at the source. Look at it as it is now, and decide anew.',
        {
          conflict: show(options, now, 'record'),
        },
      )
    : refusal('conflict-closed', 'It is decided already');

async function find({ db }: OperatorOptions, id: string): Promise<ListedConflict> {
  const found = z.uuid().safeParse(id).success ? await readConflict(db, id) : null;
  if (found === null) throw notFound('conflict');
  return found;
}

/** Of a list only the values that met; each by itself with the whole record, where that is kept. */
function show({ integrations }: OperatorOptions, one: ListedConflict, how: 'fields' | 'record') {
  const stream = integrations.get(one.integration)?.streams.get(one.entity);
  const values = (content: Content | null): Content | null =>
    content === null || how === 'record' || one.fields.length === 0
      ? content
      : Object.fromEntries(Object.entries(content).filter(([property]) => one.fields.includes(property)));
  return {
    id: one.id,
    integration: one.integration,
    entity: one.entity,
    recordId: one.externalId,
    key: one.targetKey,
    kind: one.kind,
    fields: one.fields,
    policy: one.policy,
    state: one.outcome === null ? 'open' : 'closed',
    outcome: one.outcome,
    base: values(one.base),
    local: values(one.local),
    remote: values(one.remote),
    remoteVersion: versionText(stream?.caps.versionKind ?? 'counter', one.remoteVersion),
    createdAt: iso(one.createdAt),
    resolvedAt: iso(one.resolvedAt),
    resolvedBy: one.resolvedBy,
    etag: conflictTag(one),
  };
}
