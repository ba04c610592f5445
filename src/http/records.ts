import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ListedPush } from '../store/push-list.ts';
import { describePush } from '../sync/describe-push.ts';
import { type Edited, editRecord, NO_CREATE, NO_UPDATE, removeRecord } from '../sync/edit.ts';
import { type AtSource, createAtSource, editAtSource, removeAtSource } from '../sync/edit-at-source.ts';
import { createRecord } from '../sync/edit-create.ts';
import { type EditForm, type EditValues, readEditValues } from '../sync/edit-values.ts';
import { explainRecord } from '../sync/explain.ts';
import type { PushDeps } from '../sync/push-deps.ts';
import { readPause } from '../sync/source-status.ts';
import { type Stream, streamName } from '../sync/stream.ts';
import { isMoving, waitForPush } from '../sync/wait-for-push.ts';
import { problemOf, unfit } from './edit-problems.ts';
import { readIfMatch } from './if-match.ts';
import { isText, parseInput, waitSchema } from './input.ts';
import { findStream, type OperatorOptions } from './operator-options.ts';
import { notFound, ProblemError } from './problem.ts';
import { withTable } from './target-problem.ts';

const MAX_EDIT_BYTES = 1_048_576;
/** Visible ASCII, as much as clients make them. */
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;
const RETRY_AFTER_S = '5';

type Params = { Params: { integration: string; entity: string; id: string } };
type OfStream = { Params: { integration: string; entity: string } };

/** Looking at records, and editing them: the row and its push in one transaction, or at the source first. */
export function recordRoutes(app: FastifyInstance, options: OperatorOptions): void {
  app.get<Params>('/records/:integration/:entity/:id', async (request, reply) => {
    const { integration, entity, id } = request.params;
    const stream = findStream(options, integration, entity);
    const explain = () => explainRecord(options.db, stream, id);
    const record = isText(id) ? await withTable(options.db, stream, explain) : null;
    if (record === null) throw notFound('record');
    if (record.etag !== null) reply.header('etag', record.etag);
    return record;
  });
  const limits = { bodyLimit: MAX_EDIT_BYTES };
  const onTable = <R extends FastifyRequest<OfStream>>(request: R, work: () => Promise<FastifyReply>) =>
    withTable(options.db, findEditable(options, request.params).stream, work);
  app.post<OfStream>('/records/:integration/:entity', limits, (request, reply) =>
    onTable(request, () => create(options, request, reply)),
  );
  app.patch<Params>('/records/:integration/:entity/:id', limits, (request, reply) =>
    onTable(request, () => edit(options, request, reply, 'some')),
  );
  app.put<Params>('/records/:integration/:entity/:id', limits, (request, reply) =>
    onTable(request, () => edit(options, request, reply, 'whole')),
  );
  app.delete<Params>('/records/:integration/:entity/:id', limits, (request, reply) =>
    onTable(request, () => remove(options, request, reply)),
  );
}

async function create(
  options: OperatorOptions,
  request: FastifyRequest<OfStream>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const deps = findEditable(options, request.params);
  const { wait } = parseInput(waitSchema, request.query);
  const key = readIdempotencyKey(request);
  if (deps.stream.twoWay.writes.create === null) throw problemOf({ kind: 'not_supported', why: NO_CREATE });
  const values = readValues(deps, request.body, 'create');
  if (deps.stream.twoWay.mode === 'source-first') {
    await assertAsked(options, deps.stream);
    return await answerAtSource(options, deps, reply, null, await createAtSource(deps, values, key, options.stopping));
  }
  const created = await createRecord(deps, values, key);
  if (created.kind !== 'created') throw problemOf(created);
  return await answerEdited(options, deps, { reply, id: created.targetKey, pushId: created.pushId, wait });
}

async function edit(
  options: OperatorOptions,
  request: FastifyRequest<Params>,
  reply: FastifyReply,
  form: Exclude<EditForm, 'create'>,
): Promise<FastifyReply> {
  const deps = findEditable(options, request.params);
  const { wait } = parseInput(waitSchema, request.query);
  const id = readId(request);
  const ifMatch = readIfMatch(request.headers['if-match']);
  const { update, create: created } = deps.stream.twoWay.writes;
  if (update === null && created === null) throw problemOf({ kind: 'not_supported', why: NO_UPDATE });
  const values = readValues(deps, request.body, form);
  if (deps.stream.twoWay.mode === 'source-first') {
    await assertAsked(options, deps.stream);
    const done = await editAtSource(deps, id, values, { ifMatch, form }, options.stopping);
    if (done.kind !== 'no_record_yet') return await answerAtSource(options, deps, reply, id, done);
  }
  const done = await editRecord(deps, id, values, { form, ifMatch, correlationId: request.id });
  return await answerEdit(options, deps, { reply, wait }, done);
}

async function remove(
  options: OperatorOptions,
  request: FastifyRequest<Params>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const deps = findEditable(options, request.params);
  const { wait } = parseInput(waitSchema, request.query);
  const id = readId(request);
  const ifMatch = readIfMatch(request.headers['if-match']);
  const { mode, localDeletes } = deps.stream.twoWay;
  // A row that is detached goes, and its record is left alone: there is nothing to ask the source for.
  if (mode === 'source-first' && localDeletes !== 'detach') {
    await assertAsked(options, deps.stream);
    const done = await removeAtSource(deps, id, ifMatch, options.stopping);
    if (done.kind !== 'no_record_yet') return await answerAtSource(options, deps, reply, id, done);
  }
  const done = await removeRecord(deps, id, { ifMatch, correlationId: request.id });
  return await answerEdit(options, deps, { reply, wait }, done);
}

/** Throws the problem to answer with where the rows of a stream only follow its source. */
function findEditable(options: OperatorOptions, { integration, entity }: OfStream['Params']): PushDeps {
  const stream = findStream(options, integration, entity);
  const deps = options.pushDeps.get(streamName(stream.key));
  if (deps !== undefined) return deps;
  throw new ProblemError({
    status: 405,
    code: 'not-two-way',
    title: 'The rows of this entity follow its source',
    detail: 'Its definition has no `write`: edit the record at the source, or make the entity two-way',
    headers: { allow: 'GET' },
  });
}

/** What is no text is nobody's id. */
function readId({ params }: FastifyRequest<Params>): string {
  if (!isText(params.id)) throw notFound('record');
  return params.id;
}

function readValues({ stream }: PushDeps, body: unknown, form: EditForm): EditValues {
  const read = readEditValues(stream, body, form);
  if (!read.ok) throw unfit(read.problems);
  return read.edit;
}

function readIdempotencyKey({ headers }: FastifyRequest): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && IDEMPOTENCY_KEY.test(key)) return key;
  throw new ProblemError({
    status: 400,
    code: 'bad-request',
    title: 'The request cannot be read',
    detail: 'Idempotency-Key: expected 1 to 255 visible ASCII characters',
  });
}

/** A source that is to be left alone is not asked for a caller's sake either. */
async function assertAsked({ db }: OperatorOptions, { key }: Pick<Stream, 'key'>): Promise<void> {
  if ((await readPause(db, key.integration)) === null) return;
  throw sourceAway('its integration is paused');
}

const sourceAway = (why: string): ProblemError =>
  new ProblemError({
    status: 503,
    code: 'source-unavailable',
    title: 'The source cannot be asked now',
    detail: `Nothing has changed: ${why}`,
    headers: { 'retry-after': RETRY_AFTER_S },
  });

type Exchange = { readonly reply: FastifyReply; readonly wait: boolean };

async function answerEdit(
  options: OperatorOptions,
  deps: PushDeps,
  exchange: Exchange,
  done: Edited,
): Promise<FastifyReply> {
  switch (done.kind) {
    case 'edited':
      return await answerEdited(options, deps, { ...exchange, id: done.id, pushId: done.pushId });
    case 'unchanged':
      return await sendRecord(options, deps, exchange.reply.status(200), done.id, null);
    default:
      throw problemOf(done);
  }
}

type EditedExchange = Exchange & { readonly id: string; readonly pushId: string };

/** 202 while its push is on its way; with `wait`, 200 with how that ended. */
async function answerEdited(options: OperatorOptions, deps: PushDeps, exchange: EditedExchange): Promise<FastifyReply> {
  const { reply, id, pushId, wait } = exchange;
  const push = await waitForPush(options.db, pushId, wait ? untilOver(options, reply) : AbortSignal.abort());
  const isOver = wait && push !== null && !isMoving(push) && push.state !== 'unknown';
  return await sendRecord(options, deps, reply.status(isOver ? 200 : 202), push?.externalId ?? id, push);
}

function untilOver({ stopping }: OperatorOptions, reply: FastifyReply): AbortSignal {
  const hungUp = new AbortController();
  reply.raw.once('close', () => hungUp.abort());
  return AbortSignal.any([stopping, hungUp.signal]);
}

async function answerAtSource(
  options: OperatorOptions,
  deps: PushDeps,
  reply: FastifyReply,
  id: string | null,
  done: AtSource,
): Promise<FastifyReply> {
  switch (done.kind) {
    case 'unchanged':
      return await sendRecord(options, deps, reply.status(200), id, null);
    case 'done':
    case 'unknown':
    case 'repeat': {
      const push = await waitForPush(options.db, done.pushId, AbortSignal.abort());
      const isOver = push?.state === 'done' && push.token?.state === 'confirmed';
      return await sendRecord(options, deps, reply.status(isOver ? 200 : 202), push?.externalId ?? id, push);
    }
    case 'turned_down':
      throw turnedDown(done);
    case 'no_record_yet':
      throw notFound('record');
    default:
      throw problemOf(done);
  }
}

const CHANGED_CODES = new Set(['conflict', 'not_found', 'gone', 'unreadable', 'not_done']);

/** The source has not done it, and nothing has changed here. */
function turnedDown({ code, words, isFinal, pushId }: Extract<AtSource, { kind: 'turned_down' }>): ProblemError {
  const more = { push: pushId, sourceCode: code };
  if (isFinal)
    return new ProblemError({
      status: 422,
      code: 'source-refused',
      title: 'The source refuses it',
      detail: words,
      more,
    });
  if (CHANGED_CODES.has(code)) {
    const title = 'The record has changed at the source';
    return new ProblemError({
      status: 409,
      code: 'source-changed',
      title,
      detail: `${words}. It is being read again.`,
      more,
    });
  }
  return sourceAway(`${code}: ${words}`);
}

/** The record as it stands, null where there is none any more, and the push that is on its way. */
async function sendRecord(
  { db, integrations }: OperatorOptions,
  { stream }: PushDeps,
  reply: FastifyReply,
  id: string | null,
  push: ListedPush | null,
): Promise<FastifyReply> {
  const whole = integrations.get(stream.key.integration)?.streams.get(stream.key.entity);
  const record = id === null || whole === undefined ? null : await explainRecord(db, whole, id);
  if (record !== null && record.etag !== null) reply.header('etag', record.etag);
  return reply.send({ record, push: push === null ? null : describePush(push) });
}
