import { createHash, createHmac } from 'node:crypto';
import { test } from 'tap';
import type { Headers } from '../../src/webhook/headers.ts';
import { inBody, inHeader } from '../../src/webhook/locator.ts';
import {
  isCovered,
  isTimestampCovered,
  type SignatureScheme,
  signatureSchemeSchema,
} from '../../src/webhook/scheme.ts';
import { prepareVerifier } from '../../src/webhook/verify.ts';
import { aRequest } from './request.ts';

const NOW_MS = 1_760_000_000_123;
const S = String(Math.floor(NOW_MS / 1_000));
const MS = String(NOW_MS);
const ISO = new Date(NOW_MS).toISOString();
const URL_ = 'https://hooks.example.com/webhooks/shop?x=1';

const mac = (
  encoding: 'hex' | 'base64' | 'base64url',
  key: string | Buffer,
  text: string,
  algorithm = 'sha256',
): string => createHmac(algorithm, key).update(text).digest(encoding);
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

type Row = {
  readonly name: string;
  readonly scheme: SignatureScheme;
  readonly secret?: string;
  readonly body?: string;
  /** The headers that the provider would send, by a signer of a few lines. */
  readonly sign: (secret: string, body: string) => Headers;
};

const header = (name: string, unit: 's' | 'ms' | 'iso8601') => ({ at: inHeader(name), unit });
const key = (name: string, unit: 's' | 'ms') => ({ at: { from: 'key' as const, key: name }, unit });
const pairs = (separator: string, name: string) => ({ kind: 'key-value' as const, separator, key: name });

const ROWS: readonly Row[] = [
  {
    name: 'GitLab token',
    scheme: { mac: 'equals', signature: { headers: ['X-Gitlab-Token'] } },
    sign: (secret) => ({ 'x-gitlab-token': secret }),
  },
  {
    name: 'bearer token',
    scheme: { mac: 'equals', signature: { headers: ['authorization'], prefix: 'Bearer ' } },
    sign: (secret) => ({ authorization: `Bearer ${secret}` }),
  },
  {
    name: 'Chargebee, basic',
    scheme: { mac: 'basic' },
    secret: 'user:pässword',
    sign: (secret) => ({ authorization: `Basic ${Buffer.from(secret).toString('base64')}` }),
  },
  {
    name: 'Intercom',
    scheme: {
      mac: 'hmac',
      algorithm: 'sha1',
      signature: { headers: ['x-hub-signature'], format: { kind: 'prefix', prefix: 'sha1=' } },
    },
    sign: (secret, body) => ({ 'x-hub-signature': `sha1=${mac('hex', secret, body, 'sha1')}` }),
  },
  {
    name: 'Paystack, SHA-512',
    scheme: { mac: 'hmac', algorithm: 'sha512', signature: { headers: ['x-paystack-signature'] } },
    sign: (secret, body) => ({ 'x-paystack-signature': mac('hex', secret, body, 'sha512') }),
  },
  {
    name: 'HubSpot v1, plain digest',
    scheme: { mac: 'hash', signature: { headers: ['x-hubspot-signature'] }, template: '{secret}{body}' },
    sign: (secret, body) => ({ 'x-hubspot-signature': sha256(secret + body) }),
  },
  {
    name: 'HubSpot v2, plain digest with method and URL',
    scheme: { mac: 'hash', signature: { headers: ['x-hubspot-signature'] }, template: '{secret}{method}{url}{body}' },
    sign: (secret, body) => ({ 'x-hubspot-signature': sha256(`${secret}POST${URL_}${body}`) }),
  },
  {
    name: 'HubSpot v3',
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: { headers: ['x-hubspot-signature-v3'] },
      template: '{method}{url}{body}{ts}',
      timestamp: header('x-hubspot-request-timestamp', 'ms'),
    },
    sign: (secret, body) => ({
      'x-hubspot-request-timestamp': MS,
      'x-hubspot-signature-v3': mac('base64', secret, `POST${URL_}${body}${MS}`),
    }),
  },
  {
    name: 'Linear, time in the body',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['linear-signature'] },
      timestamp: {
        at: { from: 'body', path: 'webhookTimestamp' },
        unit: 'ms',
        pastToleranceS: 60,
        futureToleranceS: 60,
      },
    },
    body: JSON.stringify({ action: 'create', webhookTimestamp: NOW_MS }),
    sign: (secret, body) => ({ 'linear-signature': mac('hex', secret, body) }),
  },
  {
    name: 'Square',
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: { headers: ['x-square-hmacsha256-signature'] },
      template: '{url}{body}',
    },
    sign: (secret, body) => ({ 'x-square-hmacsha256-signature': mac('base64', secret, URL_ + body) }),
  },
  {
    name: 'Trello',
    scheme: {
      mac: 'hmac',
      algorithm: 'sha1',
      encoding: 'base64',
      signature: { headers: ['x-trello-webhook'] },
      template: '{body}{url}',
    },
    sign: (secret, body) => ({ 'x-trello-webhook': mac('base64', secret, body + URL_, 'sha1') }),
  },
  {
    name: 'Paddle',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['paddle-signature'], format: pairs(';', 'h1') },
      template: '{ts}:{body}',
      timestamp: { ...key('ts', 's'), pastToleranceS: 5 },
    },
    sign: (secret, body) => ({
      'paddle-signature': `ts=${S};h1=${'0'.repeat(64)};h1=${mac('hex', secret, `${S}:${body}`)}`,
    }),
  },
  {
    name: 'Zendesk, ISO time without separator',
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: { headers: ['x-zendesk-webhook-signature'] },
      template: '{ts}{body}',
      timestamp: header('x-zendesk-webhook-signature-timestamp', 'iso8601'),
    },
    sign: (secret, body) => ({
      'x-zendesk-webhook-signature-timestamp': ISO,
      'x-zendesk-webhook-signature': mac('base64', secret, ISO + body),
    }),
  },
  {
    name: 'Typeform, base64 behind a prefix',
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: { headers: ['typeform-signature'], format: { kind: 'prefix', prefix: 'sha256=' } },
    },
    sign: (secret, body) => ({ 'typeform-signature': `sha256=${mac('base64', secret, body)}` }),
  },
  {
    name: 'DocuSign, numbered headers',
    scheme: { mac: 'hmac', encoding: 'base64', signature: { headers: ['X-DocuSign-Signature'], isNumbered: true } },
    sign: (secret, body) => ({
      'x-docusign-signature-1': mac('base64', 'another key', body),
      'x-docusign-signature-3': mac('base64', secret, body),
    }),
  },
  {
    name: 'Airtable, base64 key',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-airtable-content-mac'], format: { kind: 'prefix', prefix: 'hmac-sha256=' } },
      secret: { encoding: 'base64' },
    },
    secret: Buffer.alloc(33, 9).toString('base64'),
    sign: (secret, body) => ({
      'x-airtable-content-mac': `hmac-sha256=${mac('hex', Buffer.from(secret, 'base64'), body)}`,
    }),
  },
  {
    name: 'hex key',
    scheme: { mac: 'hmac', signature: { headers: ['x-sig'] }, secret: { encoding: 'hex' } },
    secret: 'DEADbeef00',
    sign: (secret, body) => ({ 'x-sig': mac('hex', Buffer.from(secret, 'hex'), body) }),
  },
  {
    name: 'PagerDuty, comma list',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-pagerduty-signature'], format: { kind: 'list', separator: ',', prefix: 'v1=' } },
    },
    sign: (secret, body) => ({
      'x-pagerduty-signature': `v1=${mac('hex', 'old', body)}, v1=${mac('hex', secret, body)}`,
    }),
  },
  {
    name: 'Mollie, two headers of one name joined by Node',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-mollie-signature'], format: { kind: 'prefix', prefix: 'sha256=' } },
    },
    sign: (secret, body) => ({
      'x-mollie-signature': `sha256=${mac('hex', 'old', body)}, sha256=${mac('hex', secret, body)}`,
    }),
  },
  {
    name: 'two headers of one name given apart',
    scheme: { mac: 'hmac', signature: { headers: ['x-sig'] } },
    sign: (secret, body) => ({ 'x-sig': [mac('hex', 'old', body), mac('hex', secret, body)] }),
  },
  {
    name: 'Sentry, second name of the header, unsigned time',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['sentry-hook-signature', 'sentry-app-signature'] },
      timestamp: header('sentry-hook-timestamp', 's'),
    },
    body: '',
    sign: (secret, body) => ({ 'sentry-app-signature': mac('hex', secret, body), 'sentry-hook-timestamp': S }),
  },
  {
    name: 'Webflow',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-webflow-signature'] },
      template: '{ts}:{body}',
      timestamp: header('x-webflow-timestamp', 'ms'),
    },
    sign: (secret, body) => ({ 'x-webflow-timestamp': MS, 'x-webflow-signature': mac('hex', secret, `${MS}:${body}`) }),
  },
  {
    name: 'Knock',
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: { headers: ['x-knock-signature'], format: pairs(',', 's') },
      template: '{ts}.{body}',
      timestamp: key('t', 'ms'),
    },
    sign: (secret, body) => ({ 'x-knock-signature': `t=${MS},s=${mac('base64', secret, `${MS}.${body}`)}` }),
  },
  {
    name: 'Sanity, base64url',
    scheme: {
      mac: 'hmac',
      encoding: 'base64url',
      signature: { headers: ['sanity-webhook-signature'], format: pairs(',', 'v1') },
      template: '{ts}.{body}',
      timestamp: key('t', 'ms'),
    },
    sign: (secret, body) => ({ 'sanity-webhook-signature': `t=${MS},v1=${mac('base64url', secret, `${MS}.${body}`)}` }),
  },
  {
    name: 'Orb, ISO time with colons before a colon',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-orb-signature'], format: { kind: 'prefix', prefix: 'v1=' } },
      template: 'v1:{ts}:{body}',
      timestamp: header('x-orb-timestamp', 'iso8601'),
    },
    sign: (secret, body) => ({
      'x-orb-timestamp': ISO,
      'x-orb-signature': `v1=${mac('hex', secret, `v1:${ISO}:${body}`)}`,
    }),
  },
  {
    name: 'Revolut',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['revolut-signature'], format: { kind: 'list', separator: ',', prefix: 'v1=' } },
      template: 'v1.{ts}.{body}',
      timestamp: header('revolut-request-timestamp', 'ms'),
    },
    sign: (secret, body) => ({
      'revolut-request-timestamp': MS,
      'revolut-signature': `v1=${mac('hex', secret, `v1.${MS}.${body}`)}`,
    }),
  },
  {
    name: 'Twitch, nanoseconds, id and time as signed headers',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['twitch-eventsub-message-signature'], format: { kind: 'prefix', prefix: 'sha256=' } },
      template: '{header:Twitch-Eventsub-Message-Id}{header:Twitch-Eventsub-Message-Timestamp}{body}',
      timestamp: { at: inHeader('twitch-eventsub-message-timestamp'), unit: 'iso8601', pastToleranceS: 600 },
    },
    sign: (secret, body) => {
      const time = ISO.replace('Z', '456789Z');
      return {
        'twitch-eventsub-message-id': 'e76c6bd4',
        'twitch-eventsub-message-timestamp': time,
        'twitch-eventsub-message-signature': `sha256=${mac('hex', secret, `e76c6bd4${time}${body}`)}`,
      };
    },
  },
  {
    name: 'Persona, pairs apart by blanks during rotation',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['persona-signature'], format: pairs(', ', 'v1') },
      template: '{ts}.{body}',
      timestamp: key('t', 's'),
    },
    sign: (secret, body) => ({
      'persona-signature': `t=${S},v1=${mac('hex', 'old', `${S}.${body}`)} t=${S},v1=${mac('hex', secret, `${S}.${body}`)}`,
    }),
  },
  {
    name: 'WorkOS, blank after the comma',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['workos-signature'], format: pairs(',', 'v1') },
      template: '{ts}.{body}',
      timestamp: { ...key('t', 'ms'), pastToleranceS: 180 },
    },
    sign: (secret, body) => ({ 'workos-signature': `t=${MS}, v1=${mac('hex', secret, `${MS}.${body}`)}` }),
  },
  {
    name: 'Retell',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-retell-signature'], format: pairs(',', 'd') },
      template: '{body}{ts}',
      timestamp: key('v', 'ms'),
    },
    sign: (secret, body) => ({ 'x-retell-signature': `v=${MS},d=${mac('hex', secret, body + MS)}` }),
  },
  {
    name: 'Pylon',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['pylon-signature'], format: { kind: 'prefix', prefix: 'hs256=' } },
      template: '{ts}.{body}',
      timestamp: header('pylon-timestamp', 's'),
    },
    sign: (secret, body) => ({
      'pylon-timestamp': S,
      'pylon-signature': `hs256=${mac('hex', secret, `${S}.${body}`)}`,
    }),
  },
  {
    name: 'Oura, upper-case hex',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-oura-signature'] },
      template: '{ts}{body}',
      timestamp: header('x-oura-timestamp', 's'),
    },
    sign: (secret, body) => ({ 'x-oura-timestamp': S, 'x-oura-signature': mac('hex', secret, S + body).toUpperCase() }),
  },
  {
    name: 'LinkedIn, fixed text before the body',
    scheme: { mac: 'hmac', signature: { headers: ['x-li-signature'] }, template: 'hmacsha256={body}' },
    sign: (secret, body) => ({ 'x-li-signature': mac('hex', secret, `hmacsha256=${body}`) }),
  },
  {
    name: 'TikTok Shop, a fixed parameter',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['authorization'] },
      template: '{param:app_key}{body}',
      params: { app_key: '6abc' },
    },
    sign: (secret, body) => ({ authorization: mac('hex', secret, `6abc${body}`) }),
  },
  {
    name: 'Synctera, two signatures joined by a dot',
    scheme: { mac: 'hmac', signature: { headers: ['synctera-signature'], format: { kind: 'list', separator: '.' } } },
    sign: (secret, body) => ({ 'synctera-signature': `${mac('hex', 'old', body)}.${mac('hex', secret, body)}` }),
  },
  {
    name: 'Polar, Standard Webhooks with a text key',
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: { headers: ['webhook-signature'], format: { kind: 'list', separator: ' ', prefix: 'v1,' } },
      template: '{id}.{ts}.{body}',
      timestamp: header('webhook-timestamp', 's'),
      deliveryId: inHeader('webhook-id'),
    },
    sign: (secret, body) => ({
      'webhook-id': 'msg_1',
      'webhook-timestamp': S,
      'webhook-signature': `v1,${mac('base64', secret, `msg_1.${S}.${body}`)}`,
    }),
  },
  {
    name: 'NMI, t is a nonce',
    scheme: {
      mac: 'hmac',
      signature: { headers: ['webhook-signature'], format: pairs(',', 's') },
      template: '{key:t}.{body}',
    },
    sign: (secret, body) => ({ 'webhook-signature': `t=9f_nonce,s=${mac('hex', secret, `9f_nonce.${body}`)}` }),
  },
  {
    name: 'path and SHA-384',
    scheme: {
      mac: 'hmac',
      algorithm: 'sha384',
      signature: { headers: ['x-sig'] },
      template: '{method} {path}\n{body}',
    },
    sign: (secret, body) => ({ 'x-sig': mac('hex', secret, `POST /webhooks/shop\n${body}`, 'sha384') }),
  },
];

const send = (headers: Headers, body: string) => aRequest(headers, body, { url: URL_ });

for (const { name, scheme, sign, secret = 'It is a secret', body = '{"id":"é1"}' } of ROWS) {
  test(`${name}: what the provider signs is accepted, and nothing that was changed`, async (t) => {
    const verify = prepareVerifier(scheme, [secret]);
    const headers = sign(secret, body);
    t.match(verify(send(headers, body), NOW_MS), { ok: true, secretIndex: 0 });
    t.match(
      prepareVerifier(scheme, ['unlike:00', secret])(send(headers, body), NOW_MS),
      { ok: true, secretIndex: 1 },
      'rotation',
    );
    t.match(verify(send(sign('00', body), body), NOW_MS), { ok: false }, 'another secret');
    t.same(prepareVerifier(scheme, [])(send(headers, body), NOW_MS), { ok: false, reason: 'no_secret' });
    t.same(prepareVerifier(scheme, [''])(send(headers, body), NOW_MS), { ok: false, reason: 'no_secret' });
    t.same(prepareVerifier(scheme, [''])(send(sign('', body), body), NOW_MS), { ok: false, reason: 'no_secret' });
    t.same(verify(send({}, body), NOW_MS), { ok: false, reason: 'signature_missing' });
    for (const absent of Object.keys(headers)) {
      const rest = Object.fromEntries(Object.entries(headers).filter(([other]) => other !== absent));
      if (absent !== 'x-docusign-signature-1')
        t.match(verify(send(rest, body), NOW_MS), { ok: false }, `without ${absent}`);
    }
    if (scheme.mac === 'equals' || scheme.mac === 'basic') return;

    t.match(verify(send(headers, `${body} `), NOW_MS), { ok: false }, 'a byte more');
    if (body !== '') t.match(verify(send(headers, body.slice(1)), NOW_MS), { ok: false }, 'a byte less');
    for (const algorithm of ['sha1', 'sha256', 'sha512'] as const) {
      if (algorithm === (scheme.algorithm ?? 'sha256')) continue;
      t.match(
        prepareVerifier({ ...scheme, algorithm }, [secret])(send(headers, body), NOW_MS),
        { ok: false },
        algorithm,
      );
    }
    const timestamp = signatureSchemeSchema.parse(scheme);
    if (timestamp.mac !== 'hmac' || timestamp.timestamp === undefined) return;
    const { pastToleranceS, futureToleranceS } = timestamp.timestamp;
    t.match(verify(send(headers, body), NOW_MS + (pastToleranceS - 1) * 1_000), { ok: true }, 'still good');
    t.match(verify(send(headers, body), NOW_MS - (futureToleranceS - 1) * 1_000), { ok: true }, 'ahead, still good');
    t.same(verify(send(headers, body), NOW_MS + (pastToleranceS + 1) * 1_000), {
      ok: false,
      reason: 'timestamp_too_old',
    });
    t.same(verify(send(headers, body), NOW_MS - (futureToleranceS + 2) * 1_000), {
      ok: false,
      reason: 'timestamp_too_new',
    });
  });
}

test('a scheme that signs the public URL refuses everything while none is configured', async (t) => {
  const verify = prepareVerifier({ mac: 'hmac', signature: { headers: ['x-sig'] }, template: '{url}{body}' }, ['s']);
  t.same(verify(aRequest({ 'x-sig': mac('hex', 's', '{}') }), NOW_MS), { ok: false, reason: 'url_unknown' });
});

test('a scheme that proves nothing, or that cannot be worked out, is refused where it is defined', async (t) => {
  const base: SignatureScheme = { mac: 'hmac', signature: { headers: ['x-sig'] } };
  const bad: [SignatureScheme, string][] = [
    [{ ...base, template: '{ts}' }, 'template'],
    [{ ...base, template: '{body}{what}' }, 'template'],
    [{ ...base, template: '{body' }, 'template'],
    [{ ...base, template: '{body}{header:}' }, 'template'],
    [{ ...base, template: '{body}'.repeat(21) }, 'template'],
    [{ ...base, mac: 'hash', template: '{body}' }, 'template'],
    [{ ...base, template: '{ts}{body}' }, 'timestamp'],
    [{ ...base, template: '{id}{body}' }, 'deliveryId'],
    [{ ...base, template: '{id}{body}', deliveryId: inBody('id') }, 'deliveryId'],
    [{ ...base, template: '{key:t}{body}' }, 'template'],
    [{ ...base, template: '{param:x}{body}' }, 'params'],
    [{ ...base, template: '{param:constructor}{body}' }, 'params'],
    [{ ...base, timestamp: key('t', 's') }, 'timestamp.at'],
    [{ ...base, signature: { headers: [] } }, 'signature.headers'],
    [{ ...base, signature: { headers: ['a b'] } }, 'signature.headers.0'],
    [{ ...base, timestamp: { at: { from: 'body', path: 'a..b' }, unit: 's' } }, 'timestamp.at.path'],
    [{ ...base, timestamp: { at: inHeader('t'), unit: 's', pastToleranceS: -1 } }, 'timestamp.pastToleranceS'],
    [{ mac: 'equals', signature: { headers: ['x'] }, template: '{body}' } as unknown as SignatureScheme, ''],
  ];
  for (const [scheme, path] of bad) {
    const result = signatureSchemeSchema.safeParse(scheme);
    t.equal(result.success, false, JSON.stringify(scheme));
    t.equal(result.error?.issues[0]?.path.join('.'), path, JSON.stringify(scheme));
    t.throws(() => prepareVerifier(scheme, ['s']));
  }
});

test('what the signature covers follows from the template', async (t) => {
  const headerId = inHeader('X-Id');
  const parse = (template: string, over: object = {}) =>
    signatureSchemeSchema.parse({
      mac: 'hmac',
      signature: { headers: ['s'] },
      template,
      deliveryId: headerId,
      ...over,
    });
  t.equal(isCovered(parse('{id}{body}'), headerId), true);
  t.equal(isCovered(parse('{id}{body}'), inHeader('x-id', 'x-other')), false);
  t.equal(isCovered(parse('{header:x-id}{body}'), headerId), true);
  t.equal(isCovered(parse('{header:x-id}{body}'), inHeader('x-other', 'x-id')), false);
  t.equal(isCovered(parse('{body}'), headerId), false);
  t.equal(isCovered(parse('{body}'), inBody('id')), true);
  t.equal(
    isCovered(signatureSchemeSchema.parse({ mac: 'equals', signature: { headers: ['s'] } }), inBody('id')),
    false,
  );
  const timestamp = { at: inHeader('t'), unit: 's' };
  t.equal(isTimestampCovered(parse('{body}', { timestamp })), false);
  t.equal(isTimestampCovered(parse('{ts}{body}', { timestamp })), true);
  t.equal(isTimestampCovered(parse('{header:T}{body}', { timestamp })), true);
  t.equal(isTimestampCovered(parse('{body}', { timestamp: { at: { from: 'body', path: 't' }, unit: 's' } })), true);
  t.equal(isTimestampCovered(parse('{body}')), false);
});
