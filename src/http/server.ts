import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import Fastify, { type ConnectionError, type FastifyError, type FastifyInstance, LogController } from 'fastify';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import { failureKind } from '../db/failure.ts';
import { DATABASE_AWAY, ProblemError, problemText, ROW_HELD, sendProblem } from './problem.ts';

/** A request that takes longer to arrive than this is a slow client's, or an attacker's. */
const REQUEST_TIMEOUT_MS = 30_000;
/** How often connections are looked through for such; the runtime's own half a minute would double the time-out. */
const TIMEOUT_CHECKS = 6;
const KEEP_ALIVE_MS = 72_000;
const MAX_OPERATOR_BODY_BYTES = 1_048_576;

/** An empty server: error answers, limits, correlation ids and headers; routes are added by their plugins. */
export function createServer(log: Logger, { requestTimeoutMs = REQUEST_TIMEOUT_MS } = {}): FastifyInstance {
  const app = Fastify({
    loggerInstance: log as never,
    // A line per request costs more than the request; deliveries are counted, failures are logged.
    logController: new LogController({ disableRequestLogging: true }),
    // Never taken from the request: an id in our logs must not be a stranger's text.
    genReqId: () => uuidv7(),
    requestIdHeader: false,
    bodyLimit: MAX_OPERATOR_BODY_BYTES,
    requestTimeout: requestTimeoutMs,
    http: {
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      connectionsCheckingInterval: requestTimeoutMs / TIMEOUT_CHECKS,
    },
    clientErrorHandler: answerUnreadable,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // What still arrives on an open connection while we stop is answered as ever: the database closes after the server.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 2_048 },
    frameworkErrors: (_error, _request, reply) => {
      sendProblem(reply, { status: 400, code: 'bad-request', title: 'The request cannot be read' });
    },
  }) as unknown as FastifyInstance;

  app.addHook('onSend', async (request, reply) => {
    reply.header('x-correlation-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('cache-control', 'no-store');
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    if (error instanceof ProblemError) return sendProblem(reply, error.problem);
    const kind = failureKind(error);
    if (kind === 'connection') return sendProblem(reply, DATABASE_AWAY);
    if (kind === 'lock_timeout' || kind === 'serialization') return sendProblem(reply, ROW_HELD);
    const status = error.statusCode ?? 500;
    if (status < 500) return sendProblem(reply, clientProblem(status));
    request.log.error({ err: error }, 'request failed');
    return sendProblem(reply, {
      status: 500,
      code: 'internal',
      title: 'Something went wrong here',
      detail: `See the log for ${request.id}.`,
    });
  });
  // Clients name a content type even where they send nothing, as to cancel a run.
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const text = readText(Buffer.from(body), request.headers['content-type'] ?? '');
    if (text instanceof ProblemError) done(text);
    else if (text === '') done(null, undefined);
    else void parseJson(request, text, done);
  });
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, { status: 404, code: 'not-found', title: 'No such route' }),
  );
  return app;
}

const CHARSET = /;\s*charset\s*=\s*"?([^\s";]*)/i;
const UTF_8 = /^(?:utf-?8|us-ascii)$/i;
/** Fatal: a replaced byte would silently change a value. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** JSON is UTF-8, whatever a client calls it. */
function readText(body: Buffer, contentType: string): string | ProblemError {
  const [, charset] = CHARSET.exec(contentType) ?? [];
  if (charset !== undefined && !UTF_8.test(charset)) {
    return new ProblemError({ ...clientProblem(415), detail: 'expected JSON in UTF-8' });
  }
  try {
    return utf8.decode(body);
  } catch {
    return new ProblemError({ ...clientProblem(400), detail: 'expected UTF-8' });
  }
}

const CLIENT_TITLES: { readonly [status: number]: readonly [code: string, title: string] } = {
  400: ['bad-request', 'The request cannot be read'],
  408: ['request-timeout', 'The request took too long to arrive'],
  413: ['too-large', 'The body is too large'],
  415: ['unsupported-type', 'The content type is not supported'],
  429: ['rate-limited', 'Too many requests'],
  431: ['too-large', 'The headers are too large'],
};

function clientProblem(status: number) {
  const [code, title] = CLIENT_TITLES[status] ?? ['bad-request', 'The request cannot be answered'];
  return { status, code, title };
}

/** What is no HTTP, too long or too slow reaches no route. Nothing is logged: the error carries the bytes that came. */
function answerUnreadable({ code }: ConnectionError, socket: Socket): void {
  if (code === 'ECONNRESET' || socket.destroyed) return;
  const status = code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  const body = problemText(clientProblem(status));
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/problem+json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  if (socket.writable) socket.end(head + body);
  else socket.destroy();
}
