import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { test } from 'tap';
import { z } from 'zod';
import { createBodyReader } from '../../src/webhook/body.ts';
import { type DeliveryForm, MAX_DELIVERY_ID_LENGTH, prepareDeliveryReader } from '../../src/webhook/delivery.ts';
import { MAX_EVENT_TYPE_LENGTH } from '../../src/webhook/event-type.ts';
import type { Headers } from '../../src/webhook/headers.ts';
import { inBody, inEvent, inHeader } from '../../src/webhook/locator.ts';
import { signatures } from '../../src/webhook/signatures.ts';
import { readJsonFixture, skipWithout } from './fixtures.ts';

const secrets = ['secret'];
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const read = (form: Omit<DeliveryForm, 'isBatch'> & { isBatch?: boolean }, headers: Headers, body = '{}') => {
  const reader = prepareDeliveryReader({ isBatch: false, ...form });
  const rawBody = Buffer.from(body);
  const request = { headers, rawBody, readBody: createBodyReader(rawBody, headers) };
  return { ...reader.readDelivery(request), eventType: reader.readEventType(request) };
};

test('an id that the signature covers is the dedupe key, any other only with the hash of the body', async (t) => {
  const standard = signatures.standardWebhooks({ secrets });
  t.same(read(standard, { 'webhook-id': 'msg_1' }, '{"type":"a.b"}'), {
    deliveryId: 'msg_1',
    dedupeKey: 'msg_1',
    eventType: 'a.b',
  });
  t.same(read(standard, { 'svix-id': 'msg_2' }, ''), { deliveryId: 'msg_2', dedupeKey: 'msg_2', eventType: null });
  const github = { 'x-github-delivery': 'd-1', 'x-github-event': 'issues' };
  const body = '{"action":"opened"}';
  t.same(read(signatures.github({ secrets }), github, body), {
    deliveryId: 'd-1',
    dedupeKey: `d-1:${sha256(body)}`,
    eventType: 'issues.opened',
  });
  const shopify = { 'x-shopify-webhook-id': 'w-1', 'x-shopify-topic': 'orders/create' };
  t.match(read(signatures.shopify({ secrets }), shopify), {
    dedupeKey: `w-1:${sha256('{}')}`,
    eventType: 'orders/create',
  });
  t.match(read(signatures.stripe({ secrets }), {}, '{"id":"evt_1","type":"customer.created"}'), {
    deliveryId: 'evt_1',
    dedupeKey: 'evt_1',
    eventType: 'customer.created',
  });
  t.match(read(signatures.slack({ secrets }), {}, '{"event_id":"Ev1","event":{"type":"message"}}'), {
    dedupeKey: 'Ev1',
    eventType: 'message',
  });
  const token = { mac: 'equals' as const, signature: { headers: ['x-token'] }, deliveryId: inBody('id') };
  t.match(read({ scheme: token }, {}, '{"id":"1"}'), { dedupeKey: `1:${sha256('{"id":"1"}')}` });
});

test('two equal bodies without an id are two deliveries', async (t) => {
  const { scheme } = signatures.hmac({ secrets, header: 'x-sig' });
  t.match(read({ scheme }, {}, '{"id":42}'), { deliveryId: null, dedupeKey: null });
  t.match(read(signatures.github({ secrets }), {}), { deliveryId: null, dedupeKey: null });
  t.match(read(signatures.stripe({ secrets }), {}, 'not JSON'), { deliveryId: null, dedupeKey: null });
});

test('a definition can name other places for id and type, and the coverage is worked out again', async (t) => {
  const { scheme } = signatures.standardWebhooks({ secrets });
  const headers = { 'webhook-id': 'signed', 'svix-id': 'unsigned', 'x-type': 't' };
  const over = { scheme, deliveryId: inHeader('svix-id'), eventType: [inHeader('x-type'), inBody('sub')] };
  t.same(read(over, headers, '{"sub":7}'), {
    deliveryId: 'unsigned',
    dedupeKey: `unsigned:${sha256('{"sub":7}')}`,
    eventType: 't.7',
  });
  t.match(read({ scheme, eventType: [] }, headers), { eventType: '*' });
});

test('a batch has no event of its own to read a type or an id from', async (t) => {
  const scheme = {
    ...signatures.hmac({ secrets, header: 'x-sig' }).scheme,
    deliveryId: inEvent('0.id'),
    eventType: [inEvent('0.t')],
  };
  t.match(read({ scheme }, {}, '[{"id":1,"t":"a"}]'), { deliveryId: '1', eventType: 'a' });
  t.match(read({ scheme, isBatch: true }, {}, '[{"id":1,"t":"a"}]'), {
    deliveryId: null,
    dedupeKey: null,
    eventType: null,
  });
});

test('an id that is too long, blank, not printable or no text counts as none', async (t) => {
  const github = signatures.github({ secrets });
  t.match(read(github, { 'x-github-delivery': 'x'.repeat(MAX_DELIVERY_ID_LENGTH) }), { deliveryId: /^x+$/ });
  for (const id of [
    '',
    ' ',
    'a b',
    'a, b',
    'x'.repeat(MAX_DELIVERY_ID_LENGTH + 1),
    'a\u0000',
    'a\n',
    'ü',
    '\u202e',
    '\ud800',
  ]) {
    t.match(read(github, { 'x-github-delivery': id }), { deliveryId: null, dedupeKey: null }, JSON.stringify(id));
  }
  t.match(read(github, { 'x-github-delivery': ['a', 'b'] }), { deliveryId: null }, 'two ids are none');
  for (const id of ['{}', '[]', 'null', 'true', '1.5', '1e400', '9007199254740993']) {
    t.match(read(signatures.stripe({ secrets }), {}, `{"id":${id}}`), { deliveryId: null, dedupeKey: null }, id);
  }
  t.match(read(signatures.stripe({ secrets }), {}, '{"id":9007199254740991}'), { deliveryId: '9007199254740991' });
});

test('a type that is too long, not printable or no text counts as none', async (t) => {
  const standard = signatures.standardWebhooks({ secrets });
  const typeOf = (type: unknown) => read(standard, {}, JSON.stringify({ type })).eventType;
  t.equal(typeOf('Push Hook'), 'Push Hook');
  t.equal(typeOf('x'.repeat(MAX_EVENT_TYPE_LENGTH)), 'x'.repeat(MAX_EVENT_TYPE_LENGTH));
  for (const type of [
    '',
    ' a',
    'a ',
    'x'.repeat(MAX_EVENT_TYPE_LENGTH + 1),
    'a\u0000b',
    'a\nb',
    'ünï',
    null,
    {},
    ['a'],
    undefined,
  ]) {
    t.equal(typeOf(type), null, JSON.stringify(type));
  }
  t.equal(read(signatures.github({ secrets }), { 'x-github-event': 'push' }, '{"action":null}').eventType, 'push');
  t.equal(read(signatures.github({ secrets }), {}, '{"action":"opened"}').eventType, null);
});

const NAUGHTY = 'naughty-strings/blns.json';

test('naughty strings as ids and types are taken as they are or not at all', {
  skip: skipWithout(NAUGHTY),
}, async (t) => {
  const strings = z.array(z.string()).parse(readJsonFixture(NAUGHTY));
  t.ok(strings.length > 400);
  for (const text of strings) {
    const body = JSON.stringify({ id: text, type: text });
    const { deliveryId, dedupeKey, eventType } = read(signatures.stripe({ secrets }), {}, body);
    if (deliveryId !== null && (deliveryId !== text || !/^[\x21-\x7e]{1,256}$/.test(text)))
      t.fail(JSON.stringify(text));
    if (dedupeKey !== deliveryId) t.fail(JSON.stringify(text));
    if (eventType !== null && (eventType !== text || !/^[\x20-\x7e]{1,256}$/.test(text))) t.fail(JSON.stringify(text));
  }
});

test('reading a delivery never throws, whatever headers and body hold', async () => {
  const builders = [
    signatures.github,
    signatures.stripe,
    signatures.slack,
    signatures.standardWebhooks,
    signatures.shopify,
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...builders),
      fc.dictionary(
        fc.constantFrom('webhook-id', 'x-github-delivery', 'x-github-event'),
        fc.string({ unit: 'binary' }),
      ),
      fc.oneof(fc.string(), fc.json()),
      (build, headers, body) => {
        const { dedupeKey, deliveryId } = read(build({ secrets }), headers, body);
        return (dedupeKey === null) === (deliveryId === null);
      },
    ),
  );
});
