import { createHmac } from 'node:crypto';
import { inspect } from 'node:util';
import { test } from 'tap';
import { secret } from '../../src/lib/setting.ts';
import { inHeader } from '../../src/webhook/locator.ts';
import { signatureDefinitionSchema, signatures } from '../../src/webhook/signatures.ts';
import { prepareVerifier } from '../../src/webhook/verify.ts';
import { aRequest } from './request.ts';

const NOW_MS = 1_760_000_000_000;

test('every ready scheme is one that the schema accepts, and none of them holds a secret', async (t) => {
  const secrets = [secret('SHOP_WEBHOOK_SECRET')];
  for (const definition of [
    signatures.standardWebhooks({ secrets }),
    signatures.stripe({ secrets }),
    signatures.github({ secrets }),
    signatures.shopify({ secrets }),
    signatures.slack({ secrets }),
    signatures.hmac({ secrets, header: 'x-sig' }),
    signatures.custom({ mac: 'basic' }, { secrets }),
  ]) {
    t.equal(signatureDefinitionSchema.safeParse(definition).success, true);
    t.same(definition.secrets, secrets);
    t.match(inspect(definition, { depth: 5 }), 'secret(SHOP_WEBHOOK_SECRET)');
  }
});

test('a generic header scheme follows its options', async (t) => {
  const time = String(NOW_MS);
  const text = 'k'.repeat(10);
  const { scheme } = signatures.hmac({
    secrets: ['unused'],
    header: 'X-Sig',
    prefix: 'v1=',
    algorithm: 'sha512',
    encoding: 'base64url',
    template: '{ts}|{header:x-id}|{body}',
    timestamp: { header: 'X-Time', unit: 'ms', pastToleranceS: 10 },
    secretEncoding: 'hex',
    deliveryId: inHeader('x-id'),
  });
  const key = Buffer.from('00ff', 'hex');
  const signature = createHmac('sha512', key).update(`${time}|7|${text}`).digest('base64url');
  const headers = { 'x-sig': `v1=${signature}`, 'x-time': time, 'x-id': '7' };
  const verify = prepareVerifier(scheme, ['00ff']);
  t.same(verify(aRequest(headers, text), NOW_MS + 10_000), { ok: true, secretIndex: 0, timestampMs: NOW_MS });
  t.match(verify(aRequest(headers, text), NOW_MS + 10_001), { reason: 'timestamp_too_old' });
  t.match(verify(aRequest(headers, text), NOW_MS - 300_000), { ok: true }, 'the other tolerance keeps its default');
  t.match(verify(aRequest(headers, text), NOW_MS - 300_001), { reason: 'timestamp_too_new' });
});

test('Shopify verifies under either of its header names', async (t) => {
  const verify = prepareVerifier(signatures.shopify({ secrets: ['s'] }).scheme, ['s']);
  const signature = createHmac('sha256', 's').update('{}').digest('base64');
  for (const name of ['x-shopify-hmac-sha256', 'shopify-hmac-sha256']) {
    t.match(verify(aRequest({ [name]: signature }), NOW_MS), { ok: true }, name);
  }
});
