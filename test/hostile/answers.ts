import { gzipSync } from 'node:zlib';
import { echo, FINE, type Misbehaviour, type Strike, sendJson, sendText } from './strike.ts';

/** A status of the query's choice with its `wait` as Retry-After, for the first `times` requests; then a proper answer. */
const status: Misbehaviour = (strike) => {
  const { searchParams } = strike.url;
  const times = Number(searchParams.get('times') ?? Number.POSITIVE_INFINITY);
  if (strike.index >= times) return sendJson(strike, FINE);
  const wait = searchParams.get('wait');
  const code = Number(searchParams.get('code'));
  sendText(strike, code, echo(strike), {
    'www-authenticate': `Bearer error="${strike.request.headers.authorization ?? ''}"`,
    ...(wait === null ? {} : { 'retry-after': wait }),
  });
};

/** HTTP statuses, and answers that are whole and well-formed but not what was asked for. */
export const answers: Readonly<Record<string, Misbehaviour>> = {
  '/status': status,
  /** A login that gives a token which tells the password. */
  '/token': (strike) =>
    void readBody(strike).then((body) => sendJson(strike, { token: `session-${JSON.parse(body).password}` })),
  /** Tokens which tell what they were got for, wherever that was written. */
  '/oauth/token': (strike) =>
    void readBody(strike).then((body) => {
      const basic = Buffer.from(
        strike.request.headers.authorization?.slice('Basic '.length) ?? '',
        'base64',
      ).toString();
      const secret = new URLSearchParams(body).get('client_secret') ?? basic.split(':')[1];
      const tokens = { access_token: `access-${secret}`, refresh_token: `refresh-${secret}` };
      sendJson(strike, { ...tokens, token_type: 'Bearer', expires_in: 3_600 });
    }),
  '/errors/graphql': (strike) =>
    sendJson(strike, {
      data: null,
      errors: [{ message: echo(strike), extensions: { code: strike.url.searchParams.get('code') ?? 'INTERNAL' } }],
    }),
  '/errors/ok-false': (strike) => sendJson(strike, { ok: false, error: echo(strike) }),
  '/type/html-says-json': (strike) => sendText(strike, 200, `<!doctype html><p>${echo(strike)}</p>`),
  '/type/json-says-html': (strike) => sendJson(strike, FINE, { 'content-type': 'text/html; charset=iso-8859-1' }),
  '/type/json-says-nothing': (strike) => sendJson(strike, FINE, { 'content-type': '' }),
  '/encoding/plain-says-gzip': (strike) => sendText(strike, 200, echo(strike), { 'content-encoding': 'gzip' }),
  '/encoding/gzip-says-plain': (strike) => sendText(strike, 200, gzipSync(JSON.stringify(FINE))),
  '/encoding/gzip-says-brotli': (strike) =>
    sendText(strike, 200, gzipSync(JSON.stringify(FINE)), { 'content-encoding': 'br' }),
  '/encoding/gzip-cut': (strike) =>
    sendText(strike, 200, gzipSync(JSON.stringify(FINE)).subarray(0, -9), { 'content-encoding': 'gzip' }),
  '/empty/200': (strike) => sendText(strike, 200, ''),
  '/empty/204': ({ response }) => response.writeHead(204).end(),
  '/empty/205': ({ response }) => response.writeHead(205).end(),
  '/empty/304': ({ response }) => response.writeHead(304, { etag: '"x"' }).end(),
};

async function readBody({ request }: Strike): Promise<string> {
  let body = '';
  for await (const text of request.setEncoding('utf8')) body += text;
  return body;
}
