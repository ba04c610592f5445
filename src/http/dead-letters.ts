import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { DeadLetter } from '../store/dead-letters.ts';
import { listDeadLetters } from '../store/dead-letters.ts';
import { discardDeadLetter, redrive } from '../sync/redrive.ts';
import { idSchema, limitSchema, nameSchema, parseInput } from './input.ts';
import { conflict, iso, type OperatorOptions } from './operator-options.ts';
import { notFound } from './problem.ts';

const MAX_RETRIES_AT_ONCE = 1_000;

/** Looking at dead letters, trying them again, dropping them. */
export function deadLetterRoutes(app: FastifyInstance, { db, deps }: OperatorOptions): void {
  const filterSchema = z.strictObject({
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
    const result = await redrive(deps, parseInput(idSchema, request.params.id), request.id);
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
      const result = await redrive(deps, id, request.id);
      if (result?.kind === 'still_bad') counts.stillBad++;
      else if (result === null || result.kind === 'gone') counts.gone++;
      else counts.retried++;
    }
    return counts;
  });
  app.delete<{ Params: { id: string } }>('/dead-letters/:id', async (request, reply) => {
    const id = parseInput(idSchema, request.params.id);
    if (await discardDeadLetter(deps, id, request.id)) return reply.status(204).send();
    throw notFound('open dead letter');
  });
}

const showLetter = (letter: DeadLetter) => ({ ...letter, firstAt: iso(letter.firstAt), lastAt: iso(letter.lastAt) });
