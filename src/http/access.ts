import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { ProblemError } from './problem.ts';

const LOOPBACK_ADDRESSES = /^(?:127(?:\.\d{1,3}){3}|::1|::ffff:127(?:\.\d{1,3}){3})$/;
const LOOPBACK_HOSTS = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;
const BEARER = /^Bearer ([\x21-\x7e]{1,512})$/i;

/**
 * Guards the operator's routes. With a token only its bearer passes, compared in constant time. Without one only callers
 * on this machine do, and only those who name this machine as host, so that neither a proxy beside us nor a web page
 * whose name was bent to 127.0.0.1 passes for one. Throws the problem to answer with.
 */
export function createAccessGuard(adminToken: string | null): (request: FastifyRequest) => void {
  const expected = adminToken === null ? null : digest(adminToken);
  return (request) => {
    if (isForeignOrigin(request)) throw refusal(403, 'The request comes from another origin');
    if (expected === null) {
      if (!isLocal(request)) {
        throw refusal(403, 'Only callers on this machine are answered while SYNCLINE_ADMIN_TOKEN is not set');
      }
      return;
    }
    const given = BEARER.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined || !timingSafeEqual(digest(given), expected)) {
      throw refusal(401, 'Send the operator token as a bearer token', {
        'www-authenticate': 'Bearer realm="syncline"',
      });
    }
  };
}

/** Equal lengths, whatever was given: the comparison tells nothing of the token's. */
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const refusal = (status: 401 | 403, detail: string, headers: Record<string, string> = {}): ProblemError =>
  new ProblemError({
    status,
    code: status === 401 ? 'unauthorized' : 'forbidden',
    title: status === 401 ? 'Not authenticated' : 'Not allowed',
    detail,
    headers,
  });

function isLocal(request: FastifyRequest): boolean {
  const { host } = request.headers;
  const isProxied = request.headers['x-forwarded-for'] !== undefined || request.headers.forwarded !== undefined;
  return LOOPBACK_ADDRESSES.test(request.socket.remoteAddress ?? '') && !isProxied && LOOPBACK_HOSTS.test(host ?? '');
}

/** A browser names the page's origin on every request that could do harm; programs send none. */
function isForeignOrigin(request: FastifyRequest): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}
