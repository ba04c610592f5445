import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { assertNever } from '../lib/assert-never.ts';
import {
  type AuthorizationOutcome,
  type AuthorizeDeps,
  beginAuthorization,
  FLOW_MS,
  finishAuthorization,
  issueTicket,
  TICKET_MS,
  takeTicket,
} from '../sync/authorize.ts';
import type { createAccessGuard } from './access.ts';
import { notFound, ProblemError } from './problem.ts';

const RATE_WINDOW_MS = 60_000;
/** Of callbacks from one address. A person makes one or two; a proxy may stand in front of several. */
const MAX_CALLBACKS_PER_MINUTE = 300;
const COOKIE = 'syncline-oauth';
const COOKIE_VALUE = /(?:^|;\s*)syncline-oauth=([A-Za-z0-9_-]{43})(?:;|$)/;
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

export type OAuthOptions = {
  readonly guard: ReturnType<typeof createAccessGuard>;
  readonly authorize: AuthorizeDeps;
  readonly publicUrl: string | null;
  /** Fires at shutdown: exchanges end. */
  readonly stopping: AbortSignal;
};

type Params = { Params: { integration: string } };

/**
 * `GET /oauth/:integration/start` sends an operator's browser to the source, `GET /oauth/:integration/callback` takes what
 * it brings back. No answer repeats anything of the request, and none sends a browser anywhere but to the declared source.
 */
export async function oauthRoutes(app: FastifyInstance, options: OAuthOptions): Promise<void> {
  const { authorize, guard, stopping } = options;
  await app.register(rateLimit, {
    global: false,
    errorResponseBuilder: (_request, { after }) =>
      problem(429, 'rate-limited', 'Too many requests', `Try again in ${after}.`),
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.header('referrer-policy', 'no-referrer');
    reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  });
  const guardStart = (request: FastifyRequest): void => {
    guard(request);
    // A page of somebody else's must not set this off in an operator's browser.
    if (request.headers['sec-fetch-site'] === 'cross-site')
      throw problem(403, 'forbidden', 'Not allowed', 'The request comes from another site');
  };
  const find = (integration: string) => {
    const authorization = authorize.authorizations.get(integration);
    if (authorization === undefined) throw notFound('authorization');
    return authorization;
  };

  // No HEAD for either: programs that look at links before people open them would use them up.
  app.get<Params>('/oauth/:integration/start', { exposeHeadRoute: false }, async (request, reply) => {
    const { integration } = request.params;
    const ticket = single(request.query, 'ticket');
    if (ticket === null) guardStart(request);
    else if (!(await takeTicket(authorize, integration, ticket))) throw unknownTicket();
    const authorization = find(integration);
    const base = baseUrlOf(request, options.publicUrl);
    if (ticket === null && request.headers.accept?.includes('application/json')) {
      const url = `${base}/oauth/${integration}/start?ticket=${await issueTicket(authorize, integration)}`;
      return { url, expiresInS: TICKET_MS / 1_000 };
    }
    const redirectUri = `${base}/oauth/${integration}/callback`;
    const { location, browser } = await beginAuthorization(authorize, integration, authorization, redirectUri);
    return reply.header('set-cookie', cookie(redirectUri, browser, FLOW_MS / 1_000)).redirect(location.href, 302);
  });

  app.get<Params>(
    '/oauth/:integration/callback',
    { exposeHeadRoute: false, config: { rateLimit: { max: MAX_CALLBACKS_PER_MINUTE, timeWindow: RATE_WINDOW_MS } } },
    async (request, reply) => {
      const { integration } = request.params;
      const authorization = find(integration);
      const callback = {
        state: single(request.query, 'state'),
        code: single(request.query, 'code'),
        error: single(request.query, 'error'),
        browser: COOKIE_VALUE.exec(request.headers.cookie ?? '')?.[1] ?? null,
      };
      const outcome = await finishAuthorization(authorize, integration, authorization, callback, stopping);
      if (callback.browser !== null && outcome.kind !== 'unknown_flow') {
        const base = baseUrlOf(request, options.publicUrl);
        reply.header('set-cookie', cookie(`${base}/oauth/${integration}/callback`, '', 0));
      }
      return answer(reply, outcome);
    },
  );
}

function answer(reply: FastifyReply, outcome: AuthorizationOutcome): FastifyReply {
  switch (outcome.kind) {
    case 'authorized':
      return reply.type('text/html; charset=utf-8').send(page(outcome.hasRefreshToken));
    case 'unknown_flow':
      throw failed(400, 'unknown', 'It was not begun here, has been used already, or took too long');
    case 'other_browser':
      throw failed(400, 'other-browser', 'It was begun in another browser, or this one keeps no cookies');
    case 'declined':
      throw failed(403, 'declined', `The source answers ${outcome.code ?? 'with an error of its own'}`);
    case 'no_code':
      throw failed(400, 'no-code', 'The source gave no code');
    case 'missing_scopes':
      throw failed(403, 'missing-scopes', `These scopes were not granted: ${outcome.scopes.join(', ')}`);
    case 'exchange_failed':
      throw failed(502, 'exchange-failed', outcome.error.message);
    default:
      return assertNever(outcome);
  }
}

const failed = (status: number, code: string, detail: string): ProblemError =>
  problem(status, `authorization-${code}`, 'The integration is not authorized', `${detail}. Start again.`);

const problem = (status: number, code: string, title: string, detail: string): ProblemError =>
  new ProblemError({ status, code, title, detail });

const unknownTicket = (): ProblemError =>
  problem(403, 'forbidden', 'Not allowed', 'The link has been used already, or is too old. Ask for another.');

/** Nothing of the request stands in it. */
const page = (hasRefreshToken: boolean): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Authorized</title>
<h1>Authorized</h1>
<p>The tokens are stored and the integration goes on. You can close this page.</p>
${hasRefreshToken ? '' : '<p>The source gave no refresh token: when the access token ends, it must be authorized again. Ask for lasting access, by a scope or parameter that the source documents.</p>\n'}</html>
`;

/** Where a browser reaches us. Without a public URL only this machine does, by the name that it used. */
function baseUrlOf(request: FastifyRequest, publicUrl: string | null): string {
  if (publicUrl !== null) return publicUrl.replace(/\/+$/, '');
  const { host = '' } = request.headers;
  if (LOOPBACK_HOST.test(host)) return `http://${host}`;
  throw problem(
    409,
    'no-public-url',
    'This cannot be done now',
    'Set SYNCLINE_PUBLIC_URL: the source must send browsers back to it',
  );
}

/** Sent back on the way from the source, hence Lax, and to this one address. */
function cookie(redirectUri: string, value: string, maxAgeS: number): string {
  const { pathname, protocol } = new URL(redirectUri);
  const secure = protocol === 'https:' ? '; Secure' : '';
  return `${COOKIE}=${value}; Path=${pathname}; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure}`;
}

/** A parameter that is there once. One that is there twice is as good as none. */
function single(query: unknown, name: string): string | null {
  if (typeof query !== 'object' || query === null) return null;
  const value: unknown = Reflect.get(query, name);
  return typeof value === 'string' ? value : null;
}
