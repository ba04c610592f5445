import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { readPath } from '../lib/path.ts';
import { mustParsePath, pathSchema } from '../lib/path-schema.ts';
import type { Setting } from '../lib/setting.ts';
import { settingSchema } from '../lib/setting-schema.ts';
import type { ParsedBody } from './body.ts';
import { type Headers, readHeader } from './headers.ts';

/**
 * What a provider asks of an address before it sends events there.
 * - `query-challenge`: GET with a text in the query to be sent back; `verifyToken` is a secret that the request must know.
 * - `body-challenge`: POST with a text in the JSON body to be sent back. `isSigned`: only when the signature is right.
 * - `cloudevents`: OPTIONS of the CloudEvents webhook protocol, which asks whether an origin may send.
 * - `probe`: HEAD that wants 200 (Trello, Intercom).
 */
export const handshakeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('query-challenge'),
    challenge: z.string().min(1).max(100),
    verifyToken: z.strictObject({ param: z.string().min(1).max(100), secret: settingSchema }).optional(),
    /** Answer with JSON, the challenge under the same name (Strava), instead of plain text. */
    isJson: z.boolean().default(false),
  }),
  z.strictObject({
    kind: z.literal('body-challenge'),
    challenge: pathSchema,
    when: z.strictObject({ path: pathSchema, equals: z.string() }).optional(),
    isSigned: z.boolean(),
    /** Answer with JSON `{"challenge": …}` instead of plain text. */
    isJson: z.boolean().default(false),
  }),
  z.strictObject({
    kind: z.literal('cloudevents'),
    /** Names of the origins that may send, or `*`. */
    allowedOrigins: z.union([z.literal('*'), z.array(z.string().min(1).max(253)).min(1)]),
    ratePerMinute: z.number().int().positive().optional(),
  }),
  z.strictObject({ kind: z.literal('probe') }),
]);
export type Handshake = z.input<typeof handshakeSchema>;

/** Ready handshakes. */
export const handshakes = {
  /** Dropbox, Nylas: GET `?challenge=…`. */
  dropbox: (): Handshake => ({ kind: 'query-challenge', challenge: 'challenge' }),
  /** Meta, WhatsApp: GET `?hub.mode=subscribe&hub.verify_token=…&hub.challenge=…`. */
  meta: (options: { readonly verifyToken: Setting }): Handshake => ({
    kind: 'query-challenge',
    challenge: 'hub.challenge',
    verifyToken: { param: 'hub.verify_token', secret: options.verifyToken },
  }),
  /** Slack: a signed POST `{"type": "url_verification", "challenge": …}`. */
  slack: (): Handshake => ({
    kind: 'body-challenge',
    challenge: 'challenge',
    when: { path: 'type', equals: 'url_verification' },
    isSigned: true,
  }),
  /** monday.com: an unsigned POST `{"challenge": …}`. */
  monday: (): Handshake => ({ kind: 'body-challenge', challenge: 'challenge', isSigned: false, isJson: true }),
  cloudEvents: (options: { readonly allowedOrigins: '*' | string[]; readonly ratePerMinute?: number }): Handshake => ({
    kind: 'cloudevents',
    ...options,
  }),
  probe: (): Handshake => ({ kind: 'probe' }),
};

export type HandshakeRequest = {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly readBody: () => ParsedBody;
  /** The signature was checked and is right. A handshake that must be signed is passed over without it. */
  readonly isVerified: boolean;
};

export type HandshakeAnswer = {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: string;
};

/** Answers a registration request; null when the request is none. */
export type HandshakeAnswerer = (request: HandshakeRequest) => HandshakeAnswer | null;

export const MAX_CHALLENGE_LENGTH = 512;
/** No character with which a sent-back text could become markup, a script or a header. */
const CHALLENGE = /^[A-Za-z0-9._~+/=:-]+$/;
const ORIGIN = /^[A-Za-z0-9.-]{1,253}$/;

const FIXED_HEADERS = { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' };

/**
 * Prepares the answers to registration handshakes. `resolve` gives the value of a setting, or null when it has none: then
 * the handshake that needs it refuses. The answerer is pure, keeps no state and never throws.
 */
export function prepareHandshakes(
  definitions: readonly Handshake[],
  resolve: (setting: Setting) => string | null,
): HandshakeAnswerer {
  const answerers = definitions.map((definition) => prepareHandshake(definition, resolve));
  return (request) => {
    for (const answer of answerers) {
      const result = answer(request);
      if (result !== null) return result;
    }
    return null;
  };
}

/** As `prepareHandshakes` for one request, where every setting is a text. */
export const answerHandshake = (definitions: readonly Handshake[], request: HandshakeRequest): HandshakeAnswer | null =>
  prepareHandshakes(definitions, (setting) => (typeof setting === 'string' ? setting : null))(request);

function prepareHandshake(definition: Handshake, resolve: (setting: Setting) => string | null): HandshakeAnswerer {
  const handshake = handshakeSchema.parse(definition);
  switch (handshake.kind) {
    case 'query-challenge': {
      const token = handshake.verifyToken;
      const expected = token === undefined ? null : resolve(token.secret);
      return (request) => {
        if (request.method !== 'GET') return null;
        const challenges = request.query.getAll(handshake.challenge);
        if (challenges.length === 0) return null;
        if (token !== undefined && !isSameToken(request.query.getAll(token.param), expected)) return refusal(403);
        return echo(challenges.length === 1 ? challenges[0] : null, handshake.isJson ? handshake.challenge : null);
      };
    }
    case 'body-challenge': {
      const path = mustParsePath(handshake.challenge);
      const when = handshake.when;
      const whenPath = when === undefined ? [] : mustParsePath(when.path);
      return (request) => {
        if (request.method !== 'POST' || (handshake.isSigned && !request.isVerified)) return null;
        const body = request.readBody();
        if (!body.ok) return null;
        if (when !== undefined) {
          const marker = readPath(body.value, whenPath);
          if (!marker.found || marker.value !== when.equals) return null;
        }
        const challenge = readPath(body.value, path);
        return challenge.found ? echo(challenge.value, handshake.isJson ? 'challenge' : null) : null;
      };
    }
    case 'cloudevents': {
      const { allowedOrigins, ratePerMinute } = handshake;
      return (request) => {
        if (request.method !== 'OPTIONS') return null;
        const origin = readHeader(request.headers, 'webhook-request-origin');
        if (origin === null) return null;
        if (!ORIGIN.test(origin)) return refusal(400);
        if (allowedOrigins !== '*' && !allowedOrigins.includes(origin.toLowerCase())) return refusal(403);
        const rate = ratePerMinute === undefined ? '*' : String(ratePerMinute);
        return {
          status: 200,
          headers: {
            ...FIXED_HEADERS,
            allow: 'POST, OPTIONS',
            'webhook-allowed-origin': origin,
            'webhook-allowed-rate': rate,
          },
          body: '',
        };
      };
    }
    case 'probe':
      return (request) => (request.method === 'HEAD' ? { status: 200, headers: FIXED_HEADERS, body: '' } : null);
  }
}

const refusal = (status: 400 | 403): HandshakeAnswer => ({ status, headers: FIXED_HEADERS, body: '' });

function echo(challenge: unknown, jsonKey: string | null): HandshakeAnswer {
  if (typeof challenge !== 'string' || challenge.length > MAX_CHALLENGE_LENGTH || !CHALLENGE.test(challenge)) {
    return refusal(400);
  }
  return jsonKey === null
    ? { status: 200, headers: { ...FIXED_HEADERS, 'content-type': 'text/plain; charset=utf-8' }, body: challenge }
    : {
        status: 200,
        headers: { ...FIXED_HEADERS, 'content-type': 'application/json; charset=utf-8' },
        body: JSON.stringify({ [jsonKey]: challenge }),
      };
}

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares digests, so that neither content nor length can be measured. */
function isSameToken(given: readonly string[], expected: string | null): boolean {
  const token = given[0];
  if (given.length !== 1 || token === undefined || expected === null || expected === '') return false;
  return timingSafeEqual(digestOf(token), digestOf(expected));
}
