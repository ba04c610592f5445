import fc from 'fast-check';
import { test } from 'tap';
import { secret } from '../../src/lib/setting.ts';
import { parseBody } from '../../src/webhook/body.ts';
import {
  answerHandshake,
  type Handshake,
  type HandshakeRequest,
  handshakes,
  MAX_CHALLENGE_LENGTH,
  prepareHandshakes,
} from '../../src/webhook/handshake.ts';

const request = (over: Partial<HandshakeRequest> & { body?: unknown; search?: string }): HandshakeRequest => ({
  method: 'GET',
  query: new URLSearchParams(over.search ?? ''),
  headers: {},
  readBody: () => parseBody(Buffer.from(JSON.stringify(over.body) ?? ''), {}),
  isVerified: false,
  ...over,
});
const answer = (handshake: Handshake, over: Parameters<typeof request>[0]) =>
  answerHandshake([handshake], request(over));

const PLAIN = {
  'content-type': 'text/plain; charset=utf-8',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
};

test('Dropbox gets its challenge back as plain text that no browser takes for a page', async (t) => {
  t.same(answer(handshakes.dropbox(), { search: 'challenge=abc-123' }), {
    status: 200,
    headers: PLAIN,
    body: 'abc-123',
  });
  t.equal(answer(handshakes.dropbox(), { search: '' }), null);
  t.equal(answer(handshakes.dropbox(), { search: 'challenge=a', method: 'POST' }), null);
});

test('a challenge that could be markup, is too long or comes twice is refused', async (t) => {
  for (const challenge of [
    '<script>',
    'a b',
    'a"b',
    "a'b",
    'a&b',
    'a\r\nx-evil: 1',
    'ü',
    '\u0000',
    '',
    'x'.repeat(MAX_CHALLENGE_LENGTH + 1),
  ]) {
    const result = answer(handshakes.dropbox(), { search: new URLSearchParams({ challenge }).toString() });
    t.match(result, { status: 400, body: '' }, JSON.stringify(challenge));
  }
  t.match(answer(handshakes.dropbox(), { search: 'challenge=a&challenge=b' }), { status: 400, body: '' });
  t.match(answer(handshakes.dropbox(), { search: `challenge=${'x'.repeat(MAX_CHALLENGE_LENGTH)}` }), { status: 200 });
});

test('Meta gets its challenge only with the token that we agreed on', async (t) => {
  const meta = handshakes.meta({ verifyToken: 'tokén' });
  const ask = (token: string) => answer(meta, { search: `hub.mode=subscribe&hub.challenge=1158201444${token}` });
  t.match(ask('&hub.verify_token=tok%C3%A9n'), { status: 200, body: '1158201444', headers: PLAIN });
  for (const token of [
    '',
    '&hub.verify_token=',
    '&hub.verify_token=token',
    '&hub.verify_token=tok%C3%A9n&hub.verify_token=tok%C3%A9n',
  ]) {
    t.match(ask(token), { status: 403, body: '' }, token);
  }
});

test('a handshake whose secret is not there refuses', async (t) => {
  const meta = handshakes.meta({ verifyToken: secret('META_TOKEN') });
  const asked = request({ search: 'hub.challenge=1&hub.verify_token=' });
  for (const value of [null, '']) {
    t.match(prepareHandshakes([meta], () => value)(asked), { status: 403 });
  }
  t.match(answerHandshake([meta], asked), { status: 403 }, 'an unresolved reference is no value');
  const right = request({ search: 'hub.challenge=1&hub.verify_token=v' });
  t.match(prepareHandshakes([meta], () => 'v')(right), { status: 200, body: '1' });
});

test('Slack gets its challenge back once the signature is known to be right', async (t) => {
  const body = { type: 'url_verification', challenge: '3eZbrw1aBm2rZgRNFdxV2595E9CY' };
  t.match(answer(handshakes.slack(), { method: 'POST', body, isVerified: true }), {
    status: 200,
    headers: PLAIN,
    body: body.challenge,
  });
  t.equal(answer(handshakes.slack(), { method: 'POST', body, isVerified: false }), null);
  t.equal(
    answer(handshakes.slack(), { method: 'POST', body: { ...body, type: 'event_callback' }, isVerified: true }),
    null,
  );
  t.equal(answer(handshakes.slack(), { method: 'POST', body: { type: 'url_verification' }, isVerified: true }), null);
});

test('monday gets its challenge back as JSON, and its events pass', async (t) => {
  t.match(answer(handshakes.monday(), { method: 'POST', body: { challenge: 'abc' } }), {
    status: 200,
    headers: { 'content-type': 'application/json; charset=utf-8', 'x-content-type-options': 'nosniff' },
    body: '{"challenge":"abc"}',
  });
  t.equal(answer(handshakes.monday(), { method: 'POST', body: { event: { type: 'create_item' } } }), null);
  t.match(answer(handshakes.monday(), { method: 'POST', body: { challenge: { a: 1 } } }), { status: 400 });
  t.equal(answer(handshakes.monday(), { method: 'POST' }), null, 'a body that cannot be read is no handshake');
});

test('CloudEvents: an origin that may send is told so, any other is not', async (t) => {
  const ask = (handshake: Handshake, origin: string | undefined) =>
    answer(handshake, { method: 'OPTIONS', headers: { 'webhook-request-origin': origin } });
  const some = handshakes.cloudEvents({ allowedOrigins: ['events.example.com'], ratePerMinute: 120 });
  t.match(ask(some, 'Events.example.com'), {
    status: 200,
    headers: { 'webhook-allowed-origin': 'Events.example.com', 'webhook-allowed-rate': '120', allow: 'POST, OPTIONS' },
    body: '',
  });
  t.match(ask(some, 'evil.example.com'), { status: 403 });
  t.match(ask(handshakes.cloudEvents({ allowedOrigins: '*' }), 'any.example'), {
    headers: { 'webhook-allowed-rate': '*' },
  });
  t.match(ask(handshakes.cloudEvents({ allowedOrigins: '*' }), 'a\r\nb: c'), { status: 400 });
  t.equal(ask(some, undefined), null, 'a browser preflight is none of ours');
});

test('a probe is answered, and the first handshake that knows the request answers', async (t) => {
  t.match(answer(handshakes.probe(), { method: 'HEAD' }), { status: 200, body: '' });
  t.equal(answer(handshakes.probe(), { method: 'GET' }), null);
  const both = [
    handshakes.probe(),
    handshakes.dropbox(),
    { kind: 'query-challenge', challenge: 'hub', isJson: true } as const,
  ];
  t.match(answerHandshake(both, request({ search: 'challenge=a' })), { body: 'a' });
  t.match(answerHandshake(both, request({ search: 'hub=a' })), { body: '{"hub":"a"}' });
  t.equal(answerHandshake([], request({})), null);
});

test('whatever is asked, an answer sends back nothing but plain characters', async () => {
  const all = [
    handshakes.dropbox(),
    handshakes.monday(),
    handshakes.slack(),
    handshakes.cloudEvents({ allowedOrigins: '*' }),
  ];
  fc.assert(
    fc.property(fc.constantFrom('GET', 'POST', 'OPTIONS'), fc.string({ unit: 'binary' }), (method, text) => {
      const result = answerHandshake(
        all,
        request({
          method,
          search: new URLSearchParams({ challenge: text }).toString(),
          body: { challenge: text },
          headers: { 'webhook-request-origin': text },
        }),
      );
      return (
        result === null ||
        (/^[\w.~+/=:{}"-]*$/.test(result.body) && !/[\r\n<>]/.test(Object.values(result.headers).join()))
      );
    }),
    { numRuns: 1_000 },
  );
});
