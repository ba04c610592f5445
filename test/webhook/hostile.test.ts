import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { test } from 'tap';
import type { Headers } from '../../src/webhook/headers.ts';
import { inHeader } from '../../src/webhook/locator.ts';
import { decodeSignature } from '../../src/webhook/mac.ts';
import type { SignatureScheme } from '../../src/webhook/scheme.ts';
import { MAX_SIGNATURE_ENTRIES, MAX_SIGNATURE_HEADER_LENGTH } from '../../src/webhook/signature-header.ts';
import { signatures } from '../../src/webhook/signatures.ts';
import { parseTimestampMs } from '../../src/webhook/timestamp.ts';
import { findSecretProblems, prepareVerifier } from '../../src/webhook/verify.ts';
import { aRequest } from './request.ts';

const NOW_MS = 1_760_000_000_000;
const S = String(NOW_MS / 1_000);
const KEY = Buffer.alloc(24, 5);
const SECRET = `whsec_${KEY.toString('base64')}`;
const secrets = [SECRET];

const sha256 = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const standard = prepareVerifier(signatures.standardWebhooks({ secrets }).scheme, secrets);
const stripe = prepareVerifier(signatures.stripe({ secrets }).scheme, secrets);
const bare = prepareVerifier(signatures.hmac({ secrets, header: 'x-sig' }).scheme, secrets);

const standardHeaders = (body: string, id = 'msg_1', time = S): Record<string, string> => ({
  'webhook-id': id,
  'webhook-timestamp': time,
  'webhook-signature': `v1,${sha256(KEY, `${id}.${time}.${body}`).toString('base64')}`,
});

test('no single changed bit of body, id, time or signature is accepted', async (t) => {
  const body = '{"type":"customer.created","data":{"id":"cus_1"}}';
  const headers = standardHeaders(body);
  t.match(standard(aRequest(headers, body), NOW_MS), { ok: true });
  let tried = 0;
  for (let position = 0; position < body.length; position++) {
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Buffer.from(body);
      bytes.writeUInt8(bytes.readUInt8(position) ^ (1 << bit), position);
      if (standard(aRequest(headers, bytes), NOW_MS).ok) t.fail(`body byte ${position} bit ${bit}`);
      tried += 1;
    }
  }
  for (const [name, value] of Object.entries(headers)) {
    for (let position = 0; position < value.length; position++) {
      for (let bit = 0; bit < 7; bit++) {
        const code = value.charCodeAt(position) ^ (1 << bit);
        const changed = value.slice(0, position) + String.fromCharCode(code) + value.slice(position + 1);
        if (standard(aRequest({ ...headers, [name]: changed }, body), NOW_MS).ok)
          t.fail(`${name} at ${position} bit ${bit}`);
        tried += 1;
      }
    }
  }
  t.ok(tried > 800, `${tried} changes`);
});

test('a signature has one spelling: other alphabets, missing padding, spare bits and blanks within are refused', async (t) => {
  const bytes = Buffer.from(`${'fb'.repeat(31)}ff`, 'hex');
  const hex = bytes.toString('hex');
  const base64 = bytes.toString('base64');
  const base64url = bytes.toString('base64url');
  t.same(decodeSignature(hex, 'hex', 32), bytes);
  t.same(decodeSignature(hex.toUpperCase(), 'hex', 32), bytes);
  t.same(decodeSignature(base64, 'base64', 32), bytes);
  t.same(decodeSignature(base64url, 'base64url', 32), bytes);
  t.same(decodeSignature(`${base64url}=`, 'base64url', 32), bytes);
  const spareBits = `${base64.slice(0, -2)}9=`;
  t.same(Buffer.from(spareBits, 'base64'), bytes, 'Node itself takes spare bits');
  for (const [text, encoding] of [
    ['', 'hex'],
    [hex.slice(1), 'hex'],
    [hex.slice(2), 'hex'],
    [`${hex}00`, 'hex'],
    [`0x${hex.slice(2)}`, 'hex'],
    [`${hex.slice(0, -1)}g`, 'hex'],
    [`${hex.slice(0, -1)}\u212a`, 'hex'],
    [`${hex}\n`, 'hex'],
    ['', 'base64'],
    [base64.slice(0, -1), 'base64'],
    [`${base64}=`, 'base64'],
    [base64url, 'base64'],
    [`${base64url}=`, 'base64'],
    [spareBits, 'base64'],
    [`${base64.slice(0, 20)} ${base64.slice(20)}`, 'base64'],
    [`${base64.slice(0, 20)}\n${base64.slice(20)}`, 'base64'],
    [`${base64.slice(0, 20)}*${base64.slice(21)}`, 'base64'],
    [base64, 'base64url'],
    [`${base64url}==`, 'base64url'],
    [`${base64url.slice(0, -1)}9`, 'base64url'],
  ] as const) {
    t.equal(decodeSignature(text, encoding, 32), null, `${encoding} ${text}`);
  }
});

test('the timestamp is signed as it was written, and has one spelling for one moment', async (t) => {
  // A number made from these and written again would be another text than the one that was signed.
  for (const [time, isRight] of [
    [S, true],
    [`0${S}`, true],
    [`+${S}`, false],
    [`${S}.0`, false],
    ['1.76e9', false],
    [` ${S}`, false],
    [`${S}, ${S}`, false],
    ['', false],
    ['NaN', false],
    ['0x68e77880', false],
    ['٠١٢', false],
    ['9'.repeat(17), false],
  ] as const) {
    t.equal(standard(aRequest(standardHeaders('{}', 'msg_1', time)), NOW_MS).ok, isRight, time);
  }
  t.equal(parseTimestampMs('2026-01-02T03:04:05Z', 'iso8601'), Date.UTC(2026, 0, 2, 3, 4, 5));
  t.equal(parseTimestampMs('2026-01-02T03:04:05.123456789+01:30', 'iso8601'), Date.UTC(2026, 0, 2, 1, 34, 5, 123));
  t.equal(parseTimestampMs('2026-01-02T03:04:05.5', 'iso8601'), Date.UTC(2026, 0, 2, 3, 4, 5, 500));
  for (const text of [
    '2026-01-02',
    '2026-13-02T03:04:05Z',
    '2026-01-02T25:04:05Z',
    '2026-01-02 03:04:05Z',
    'now',
    S,
    '',
  ]) {
    t.equal(parseTimestampMs(text, 'iso8601'), null, text);
  }
});

test('the tolerance ends after its last second, in the past and in the future', async (t) => {
  const headers = standardHeaders('{}');
  for (const [offsetS, expected] of [
    [300, { ok: true }],
    [301, { ok: false, reason: 'timestamp_too_old' }],
    [-300, { ok: true }],
    [-301, { ok: false, reason: 'timestamp_too_new' }],
  ] as const) {
    t.match(standard(aRequest(headers), NOW_MS + offsetS * 1_000), expected, `${offsetS} s`);
  }
  t.same(standard(aRequest({ ...headers, 'webhook-timestamp': undefined }), NOW_MS), {
    ok: false,
    reason: 'timestamp_missing',
  });
  t.same(standard(aRequest({ ...headers, 'webhook-timestamp': 'soon' }), NOW_MS), {
    ok: false,
    reason: 'timestamp_malformed',
  });
});

test('an id that holds the separator cannot be cut from the signed text in a second way', async (t) => {
  // Signed once as id `a`, time S and the body `1.{}`; the same bytes are id `a.S`, time `1` and body `{}`.
  const signature = `v1,${sha256(KEY, `a.${S}.1.{}`).toString('base64')}`;
  const first = { 'webhook-id': 'a', 'webhook-timestamp': S, 'webhook-signature': signature };
  t.match(standard(aRequest(first, '1.{}'), NOW_MS), { ok: true });
  const second = { 'webhook-id': `a.${S}`, 'webhook-timestamp': '1', 'webhook-signature': signature };
  t.same(standard(aRequest(second, '{}'), 1_000), { ok: false, reason: 'signed_header_malformed' });
  t.same(standard(aRequest({ ...first, 'webhook-id': undefined }, '1.{}'), NOW_MS), {
    ok: false,
    reason: 'signed_header_missing',
  });
  for (const id of ['', 'ü', 'a\u0000', 'x'.repeat(3_000)]) {
    t.match(standard(aRequest(standardHeaders('{}', id)), NOW_MS), { ok: false, reason: 'signed_header_malformed' });
  }
});

test('two different times in one signature header are refused, since nobody can say which is meant', async (t) => {
  const sign = (time: string) => `v1=${sha256(SECRET, `${time}.{}`).toString('hex')}`;
  const old = String(Number(S) - 10_000);
  t.match(stripe(aRequest({ 'stripe-signature': `t=${S},${sign(S)}` }), NOW_MS), { ok: true });
  t.match(stripe(aRequest({ 'stripe-signature': `t=${S},${sign(S)}, t=${S},v1=00` }), NOW_MS), { ok: true });
  for (const value of [
    `t=${S},t=${old},${sign(S)}`,
    `t=${old},t=${S},${sign(old)}`,
    `t=${old},t=${S},${sign(S)}`,
    `t=${old},${sign(old)}, t=${S}`,
    `T=${S},${sign(S)}`,
    `t=${S};${sign(S)}`,
    `t=${S}`,
    sign(S),
  ]) {
    t.match(stripe(aRequest({ 'stripe-signature': value }), NOW_MS), { ok: false }, value);
  }
});

test('a header of thousands of entries is refused after bounded work', async (t) => {
  const good = standardHeaders('{}')['webhook-signature'] ?? '';
  const many = (count: number) => ({
    ...standardHeaders('{}'),
    'webhook-signature': `${'v1,x '.repeat(count)}${good}`,
  });
  t.match(standard(aRequest(many(MAX_SIGNATURE_ENTRIES - 1)), NOW_MS), { ok: true });
  t.same(standard(aRequest(many(MAX_SIGNATURE_ENTRIES)), NOW_MS), { ok: false, reason: 'signature_malformed' });
  const startMs = performance.now();
  for (const text of [' ', ',', ', ', 'v1, ', 't=1,', 'v1=', '=', 'a'].map((piece) => piece.repeat(500_000))) {
    for (const verify of [standard, stripe, bare]) {
      const headers = { ...standardHeaders('{}'), 'webhook-signature': text, 'stripe-signature': text, 'x-sig': text };
      t.match(verify(aRequest(headers), NOW_MS), { ok: false });
      const within = { ...headers, 'x-sig': text.slice(0, MAX_SIGNATURE_HEADER_LENGTH) };
      t.match(verify(aRequest(within), NOW_MS), { ok: false });
    }
  }
  t.ok(performance.now() - startMs < 2_000);
});

test('a secret that cannot be a key is named by its place and its kind, and verifies nothing', async (t) => {
  const { scheme } = signatures.standardWebhooks({ secrets });
  t.same(findSecretProblems(scheme, []), [{ index: 0, problem: 'is missing: expected at least one secret' }]);
  t.same(findSecretProblems(scheme, [SECRET, 'whsec_', 'whsec_***', 'whsec_AAAAA', SECRET.replace(/=*$/, '')]), [
    { index: 1, problem: 'is empty' },
    { index: 2, problem: 'is not base64' },
    { index: 3, problem: 'is not base64' },
  ]);
  const hex: SignatureScheme = { mac: 'hmac', signature: { headers: ['x'] }, secret: { encoding: 'hex' } };
  t.same(findSecretProblems(hex, ['abc', 'zz', '00']), [
    { index: 0, problem: 'is not hex' },
    { index: 1, problem: 'is not hex' },
  ]);
  t.same(findSecretProblems({ mac: 'basic' }, ['user', 'user:pass', '']), [
    { index: 0, problem: 'is not user:password' },
    { index: 2, problem: 'is empty' },
  ]);
  t.same(findSecretProblems({ mac: 'equals', signature: { headers: ['x'] } }, ['token', '']), [
    { index: 1, problem: 'is empty' },
  ]);
  const verify = prepareVerifier(scheme, ['whsec_***', 'whsec_']);
  t.same(verify(aRequest(standardHeaders('{}')), NOW_MS), { ok: false, reason: 'no_secret' });
});

test('a token in characters that no header can hold is not confused with the secret', async (t) => {
  const verify = prepareVerifier({ mac: 'equals', signature: { headers: ['x-token'] } }, ['AB']);
  t.match(verify(aRequest({ 'x-token': 'AB' }), NOW_MS), { ok: true });
  // The low bytes of these are A and B.
  t.same(verify(aRequest({ 'x-token': '\u0141\u0142' }), NOW_MS), { ok: false, reason: 'signature_malformed' });
  for (const token of ['ab', 'A', 'AB ', 'AB, AB', ['AB', 'AB'], 'ABC', 'x'.repeat(10_000)]) {
    t.match(verify(aRequest({ 'x-token': token }), NOW_MS), { ok: false });
  }
  const basic = prepareVerifier({ mac: 'basic' }, ['user:pass']);
  for (const value of [
    'Basic',
    'Basic !',
    'Bearer dXNlcjpwYXNz',
    `Basic ${Buffer.from('user:pas').toString('base64')}`,
  ]) {
    t.match(basic(aRequest({ authorization: value }), NOW_MS), { ok: false }, value);
  }
});

test('a header that an object inherits is not a header', async (t) => {
  const verify = prepareVerifier({ mac: 'equals', signature: { headers: ['constructor', '__proto__'] } }, ['x']);
  t.same(verify(aRequest({}), NOW_MS), { ok: false, reason: 'signature_missing' });
});

const anyScheme = fc.record({
  mac: fc.constant('hmac' as const),
  algorithm: fc.constantFrom('sha1' as const, 'sha256' as const, 'sha512' as const),
  encoding: fc.constantFrom('hex' as const, 'base64' as const, 'base64url' as const),
  signature: fc.record({
    headers: fc.constant(['x-sig', 'x-other']),
    isNumbered: fc.boolean(),
    format: fc.constantFrom(
      { kind: 'bare' as const },
      { kind: 'prefix' as const, prefix: 'v1=' },
      { kind: 'list' as const, separator: ' ', prefix: 'v1,' },
      { kind: 'list' as const, separator: ',' },
      { kind: 'key-value' as const, separator: ',', key: 'v1' },
      { kind: 'key-value' as const, separator: '; ', key: 'v1' },
    ),
  }),
  template: fc.constantFrom('{body}', '{id}.{ts}.{body}', '{header:x-other}{method}{path}{body}', '{ts}{body}'),
  timestamp: fc.constantFrom(
    { at: inHeader('x-time'), unit: 's' as const },
    { at: inHeader('x-time'), unit: 'iso8601' as const },
    { at: { from: 'body' as const, path: 'a.0.t' }, unit: 'ms' as const },
  ),
  deliveryId: fc.constant(inHeader('x-id')),
});

const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.stringMatching(/^(v1=|v1,|t=|[0-9a-f]{2}|[,; =]){0,40}$/),
  fc.constantFrom(S, `v1=${'0'.repeat(64)}`, 'A'.repeat(43), '0'.repeat(40), 't=1,v1=00'),
);
const anyHeaders: fc.Arbitrary<Headers> = fc.dictionary(
  fc.constantFrom(
    'x-sig',
    'x-sig-1',
    'x-sig-100',
    'x-other',
    'x-other-2',
    'x-time',
    'x-id',
    'content-type',
    '__proto__',
  ),
  fc.oneof(anyText, fc.array(anyText)),
);

test('no request makes the verifier throw, and no made-up signature is accepted', async () => {
  fc.assert(
    fc.property(
      anyScheme,
      anyHeaders,
      fc.uint8Array(),
      fc.string(),
      fc.integer(),
      (scheme, headers, body, path, nowMs) => {
        const request = aRequest(headers, Buffer.from(body), { path });
        return !prepareVerifier(scheme, ['secret', ''])(request, nowMs).ok;
      },
    ),
    { numRuns: 3_000 },
  );
});

test('whatever body and id are signed with the secret are accepted, with any other secret not', async () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.stringMatching(/^[a-z_0-9-]{1,40}$/),
      fc.uint8Array({ minLength: 1 }),
      (body, id, other) => {
        const headers = standardHeaders(body, id);
        const foreign = prepareVerifier(signatures.standardWebhooks({ secrets }).scheme, [
          Buffer.from(other).toString('base64'),
        ]);
        return standard(aRequest(headers, body), NOW_MS).ok && !foreign(aRequest(headers, body), NOW_MS).ok;
      },
    ),
  );
});
