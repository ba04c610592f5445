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
/** Followed by the beginning of the state: authorizations begun in two tabs do not take each other's. */
const COOKIE_PREFIX = 'syncline-oauth-';
const COOKIE_STATE_LENGTH = 8;
const COOKIE_VALUE = /^[A-Za-z0-9_-]{43}$/;
const MAX_FORM_BYTES = 1_024;
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

  async function begin(request: FastifyRequest<Params>, reply: FastifyReply): Promise<FastifyReply> {
    const { integration } = request.params;
    const authorization = find(integration);
    const redirectUri = `${baseUrlOf(request, options.publicUrl)}/oauth/${integration}/callback`;
    const { location, state, browser } = await beginAuthorization(authorize, integration, authorization, redirectUri);
    const ours = cookie(redirectUri, { state, value: browser, maxAgeS: FLOW_MS / 1_000 });
    return reply.header('set-cookie', ours).redirect(location.href, 302);
  }

  // No HEAD for either: programs that look at links before people open them would use them up.
  app.get<Params>('/oauth/:integration/start', { exposeHeadRoute: false }, async (request, reply) => {
    const { integration } = request.params;
    // Those programs send GET too, and a link is passed on in chats and mails: it takes a person to press the button.
    if (single(request.query, 'ticket') !== null) return sendPage(reply, BEGIN_PAGE);
    guardStart(request);
    find(integration);
    if (!request.headers.accept?.includes('application/json')) return begin(request, reply);
    const base = baseUrlOf(request, options.publicUrl);
    const url = `${base}/oauth/${integration}/start?ticket=${await issueTicket(authorize, integration)}`;
    return { url, expiresInS: TICKET_MS / 1_000 };
  });

  // The form of that page has no fields.
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, _body, done) =>
    done(null, null),
  );
  app.post<Params>('/oauth/:integration/start', { bodyLimit: MAX_FORM_BYTES }, async (request, reply) => {
    const { integration } = request.params;
    const ticket = single(request.query, 'ticket');
    if (ticket === null || !(await takeTicket(authorize, integration, ticket))) throw unknownTicket();
    return begin(request, reply);
  });

  app.get<Params>(
    '/oauth/:integration/callback',
    { exposeHeadRoute: false, config: { rateLimit: { max: MAX_CALLBACKS_PER_MINUTE, timeWindow: RATE_WINDOW_MS } } },
    async (request, reply) => {
      const { integration } = request.params;
      const authorization = find(integration);
      const state = single(request.query, 'state');
      const callback = {
        state,
        code: single(request.query, 'code'),
        error: single(request.query, 'error'),
        browser: state === null ? null : readCookie(request.headers.cookie ?? '', state),
      };
      const outcome = await finishAuthorization(authorize, integration, authorization, callback, stopping);
      if (state !== null && callback.browser !== null && outcome.kind !== 'unknown_flow') {
        const redirectUri = `${baseUrlOf(request, options.publicUrl)}/oauth/${integration}/callback`;
        reply.header('set-cookie', cookie(redirectUri, { state, value: '', maxAgeS: 0 }));
      }
      return answer(reply, outcome);
    },
  );
}

function answer(reply: FastifyReply, outcome: AuthorizationOutcome): FastifyReply {
  switch (outcome.kind) {
    case 'authorized':
      return sendPage(reply, authorizedPage(outcome.hasRefreshToken));
    case 'unknown_flow':
      throw failed(400, 'unknown', 'It was not begun here, has been used already, or took too long');
    case 'other_browser':
      throw failed(400, 'other-browser', 'It was begun in another browser, or this one keeps no cookies');
    case 'declined':
      throw failed(403, 'declined', `The source answers ${outcome.code ?? 'with an error of its own'}`);
    case 'no_code':
      throw failed(400, 'no-code', 'The source gave no code, or one that is too long');
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

const sendPage = (reply: FastifyReply, html: string): FastifyReply => reply.type('text/html; charset=utf-8').send(html);

/** Sends the form to where it came from, ticket and all: nothing of the request stands in it. */
const BEGIN_PAGE = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Authorize</title>
<h1>Authorize an integration</h1>
<p>The source will ask you to agree.</p>
<form method="post"><button>Go on</button></form></html>
`;

/** Nothing of the request stands in it. */
const authorizedPage = (hasRefreshToken: boolean): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Authorized</title>
<h1>Authorized</h1>
<p>The tokens are stored and the integration goes on. You can close this page.</p>
${hasRefreshToken ? '' : '<p>The source gave no refresh token: when the access token ends, it must be authorized again. Ask for lasting access, by a scope or parameter that the source documents.</p>\n'}</html>
`;

/** Where a browser reaches us. Without a public URL only this machine does, by the name that it used. */
function baseUrlOf(request: FastifyRequest, publicUrl: string | null): string {
  if (publicUrl !== null) return publicUrl.replace(/\/+$/, '');
  const { host = '' } = request.headers;
  if (LOOPBACK_HOST.test(host) && URL.canParse(`http://${host}`)) return `http://${host}`;
  throw problem(
    409,
    'no-public-url',
    'This cannot be done now',
    'Set SYNCLINE_PUBLIC_URL: the source must send browsers back to it',
  );
}

const cookieName = (state: string): string => `${COOKIE_PREFIX}${state.slice(0, COOKIE_STATE_LENGTH)}`;

/** Sent back on the way from the source, hence Lax, and to this one address. */
function cookie(
  redirectUri: string,
  { state, value, maxAgeS }: { readonly state: string; readonly value: string; readonly maxAgeS: number },
): string {
  const { pathname, protocol } = new URL(redirectUri);
  const secure = protocol === 'https:' ? '; Secure' : '';
  return `${cookieName(state)}=${value}; Path=${pathname}; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure}`;
}

/** Null when there is none of this state. */
function readCookie(header: string, state: string): string | null {
  const prefix = `${cookieName(state)}=`;
  const found = header.split(/;\s*/).find((one) => one.startsWith(prefix));
  const value = found?.slice(prefix.length) ?? '';
  return COOKIE_VALUE.test(value) ? value : null;
}

/** A parameter that is there once. One that is there twice is as good as none. */
function single(query: unknown, name: string): string | null {
  if (typeof query !== 'object' || query === null) return null;
  const value: unknown = Reflect.get(query, name);
  return typeof value === 'string' ? value : null;
}
