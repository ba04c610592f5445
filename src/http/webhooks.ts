import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { assertNever } from '../lib/assert-never.ts';
import type { Integration } from '../sync/integration.ts';
import { type ReceiveDeps, type Received, receive } from '../sync/receive.ts';
import { DATABASE_AWAY, notFound, ProblemError, sendProblem } from './problem.ts';

const RATE_WINDOW_MS = 60_000;
/** What providers send: JSON in its many spellings, forms, and nothing at all when they test an address. */
const KNOWN_TYPES =
  /^(?:application\/(?:[\w.+-]*\+)?json|application\/x-www-form-urlencoded|text\/(?:plain|json))\s*(?:;|$)/i;

/** Of the others ASCII is a part, and what of them is no UTF-8 is found when the body is read. */
const WIDE_CHARSET = /;\s*charset\s*=\s*"?(?:utf-?16|utf-?32|ucs-?[24]|utf-?7|iso-10646)/i;

export type WebhookOptions = {
  readonly integrations: ReadonlyMap<string, Integration>;
  readonly receive: ReceiveDeps;
  readonly count: (integration: string, fate: 'accepted' | 'duplicate' | 'rejected') => void;
  /** Requests a minute from one address, good or bad, before anything of them is read. */
  readonly maxRequestsPerMinute: number;
};

type Params = { Params: { integration: string } };

/** `POST /webhooks/:integration` and the providers' registration handshakes. Bodies arrive as the exact bytes sent. */
export async function webhookRoutes(app: FastifyInstance, options: WebhookOptions): Promise<void> {
  const limits = [...options.integrations.values()].map(({ webhook }) => webhook?.maxBodyBytes ?? 0);
  const bodyLimit = Math.max(1, ...limits);
  await app.register(rateLimit, {
    max: options.maxRequestsPerMinute,
    timeWindow: RATE_WINDOW_MS,
    errorResponseBuilder: (_request, { after }) =>
      new ProblemError({
        status: 429,
        code: 'rate-limited',
        title: 'Too many requests',
        detail: `Try again in ${after}.`,
      }),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit }, (_request, body, done) => done(null, body));

  const find = (request: FastifyRequest<Params>): Integration & { webhook: NonNullable<Integration['webhook']> } => {
    const integration = options.integrations.get(request.params.integration);
    if (integration === undefined || integration.webhook === null) throw notFound('webhook');
    return { ...integration, webhook: integration.webhook };
  };

  app.route<Params>({
    method: ['POST', 'GET', 'OPTIONS'],
    url: '/webhooks/:integration',
    exposeHeadRoute: true,
    bodyLimit,
    // Before the body is read: a stranger's upload to nowhere is not worth our memory.
    onRequest: async (request) => assertReadable(request, find(request).webhook.maxBodyBytes),
    handler: async (request, reply) => {
      const integration = find(request);
      const rawBody = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      if (rawBody.length > integration.webhook.maxBodyBytes) throw tooLarge(integration.webhook.maxBodyBytes);
      const [path = '', query = ''] = (request.raw.url ?? '').split(/\?(.*)/s, 2);
      const received = await receive(options.receive, integration, integration.webhook, {
        method: request.method,
        path,
        query: new URLSearchParams(query),
        headers: request.headers,
        rawBody,
        correlationId: request.id,
      });
      const { kind } = received;
      if (kind === 'accepted' || kind === 'duplicate' || kind === 'rejected') options.count(integration.name, kind);
      return answer(request, reply, integration.name, received);
    },
  });
}

/** Each outcome as the status that makes a provider do the right thing. Bodies of 2xx are empty: some providers insist. */
function answer(request: FastifyRequest, reply: FastifyReply, integration: string, received: Received): FastifyReply {
  switch (received.kind) {
    case 'accepted':
      request.log.debug({ integration, delivery: received.id, correlationId: request.id }, 'delivery stored');
      return reply.status(202).send();
    case 'duplicate':
      return reply.status(200).send();
    case 'handshake':
      return reply.status(received.answer.status).headers(received.answer.headers).send(received.answer.body);
    case 'no_handshake':
      return sendProblem(reply, { status: 404, code: 'not-found', title: 'No such handshake' });
    case 'rejected':
      request.log.info({ integration, reason: received.reason, correlationId: request.id }, 'delivery refused');
      return sendProblem(reply, {
        status: 401,
        code: 'signature-refused',
        title: 'The signature does not prove this delivery',
        detail: received.reason,
      });
    case 'unavailable':
      return sendProblem(reply, DATABASE_AWAY);
    default:
      return assertNever(received);
  }
}

function assertReadable(request: FastifyRequest, maxBodyBytes: number): void {
  const { 'content-type': type, 'content-length': length, 'content-encoding': encoding } = request.headers;
  if (request.method !== 'POST') return;
  if (Number(length) > maxBodyBytes) throw tooLarge(maxBodyBytes);
  if (type !== undefined && !KNOWN_TYPES.test(type)) throw wrongType('expected JSON or a form');
  if (type !== undefined && WIDE_CHARSET.test(type)) throw wrongType('expected UTF-8');
  if (encoding !== undefined && encoding !== 'identity') throw wrongType('expected no content encoding');
}

const tooLarge = (maxBytes: number): ProblemError =>
  new ProblemError({
    status: 413,
    code: 'too-large',
    title: 'The body is too large',
    detail: `At most ${maxBytes} bytes are taken.`,
  });

const wrongType = (detail: string): ProblemError =>
  new ProblemError({ status: 415, code: 'unsupported-type', title: 'The content type is not supported', detail });
