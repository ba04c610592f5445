import { sign as signLikeGithub, verify as verifyLikeGithub } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';
import { Stripe } from 'stripe';
import { test } from 'tap';
import { z } from 'zod';
import { signatures } from '../../src/webhook/signatures.ts';
import { prepareVerifier, verifySignature } from '../../src/webhook/verify.ts';
import { readJsonFixture, skipWithout } from './fixtures.ts';
import { aRequest } from './request.ts';

const NOW_MS = 1_760_000_000_000;
const NOW_S = String(NOW_MS / 1_000);

const wycheproofSchema = z.object({
  testGroups: z.array(
    z.object({
      keySize: z.number(),
      tagSize: z.number(),
      tests: z.array(
        z.object({
          tcId: z.number(),
          key: z.string(),
          msg: z.string(),
          tag: z.string(),
          result: z.enum(['valid', 'invalid']),
        }),
      ),
    }),
  ),
});

for (const [algorithm, bits] of [
  ['sha1', 160],
  ['sha256', 256],
  ['sha384', 384],
  ['sha512', 512],
] as const) {
  const path = `wycheproof/hmac_${algorithm}_test.json`;
  test(`Wycheproof: an HMAC-${algorithm} is accepted exactly when it is valid and whole`, {
    skip: skipWithout(path),
  }, async (t) => {
    const { testGroups } = wycheproofSchema.parse(readJsonFixture(path));
    let accepted = 0;
    let refused = 0;
    for (const group of testGroups) {
      for (const { tcId, key, msg, tag, result } of group.tests) {
        for (const encoding of ['hex', 'base64', 'base64url'] as const) {
          const { scheme } = signatures.custom(
            { mac: 'hmac', algorithm, encoding, signature: { headers: ['x-sig'] }, secret: { encoding: 'hex' } },
            { secrets: ['unused'] },
          );
          const signature = Buffer.from(tag, 'hex').toString(encoding);
          const verification = verifySignature(
            scheme,
            [key],
            aRequest({ 'x-sig': signature }, Buffer.from(msg, 'hex')),
            NOW_MS,
          );
          const isExpected = result === 'valid' && group.tagSize === bits && key !== '';
          if (verification.ok !== isExpected)
            t.fail(`${algorithm} ${encoding} case ${tcId}: ${JSON.stringify(verification)}`);
          if (verification.ok) accepted += 1;
          else refused += 1;
        }
      }
    }
    t.ok(accepted > 90, `${accepted} accepted`);
    t.ok(refused > 100, `${refused} refused`);
  });
}

const publishedSchema = z.object({
  vectors: z.array(
    z.object({
      provider: z.string(),
      secret: z.string(),
      body: z.string().optional(),
      now_s: z.number().optional(),
      headers: z.record(z.string(), z.string()),
    }),
  ),
});

test("each provider's published example verifies, and no other body does", {
  skip: skipWithout('signature-vectors/published.json'),
}, async (t) => {
  const { vectors } = publishedSchema.parse(readJsonFixture('signature-vectors/published.json'));
  const schemes = {
    github: signatures.github,
    slack: signatures.slack,
    'standard-webhooks': signatures.standardWebhooks,
    svix: signatures.standardWebhooks,
  };
  const seen: string[] = [];
  for (const vector of vectors) {
    const build = Object.entries(schemes).find(([name]) => name === vector.provider)?.[1];
    if (build === undefined || vector.body === undefined) continue;
    const verify = prepareVerifier(build({ secrets: [vector.secret] }).scheme, [vector.secret]);
    const nowMs = (vector.now_s ?? 0) * 1_000;
    t.match(verify(aRequest(vector.headers, vector.body), nowMs), { ok: true }, vector.provider);
    t.match(
      verify(aRequest(vector.headers, `${vector.body} `), nowMs),
      { ok: false, reason: 'signature_mismatch' },
      vector.provider,
    );
    seen.push(vector.provider);
  }
  t.same(seen, ['github', 'slack', 'standard-webhooks', 'svix']);
});

/** Bodies that a signer sees as text: empty where it takes that, long, and far from ASCII. */
const BODIES = ['{}', '{"a": 1 }\n', 'ünï ✓ 🎉 \u2028', 'x'.repeat(100_000), '[1,2,3]'];

test('what standardwebhooks signs we accept, and what we take as signed it accepts', async (t) => {
  const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
  const webhook = new Webhook(secret);
  const verify = prepareVerifier(signatures.standardWebhooks({ secrets: [secret] }).scheme, [secret]);
  for (const body of BODIES) {
    const now = Date.now(); // its verifier has a clock of its own
    const signature = webhook.sign('msg_1', new Date(now), body);
    const second = String(Math.floor(now / 1_000));
    const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': second, 'webhook-signature': signature };
    t.match(verify(aRequest(headers, body), now), { ok: true });
    t.doesNotThrow(() => webhook.verify(body, headers, { jsonParse: false }));
    const svix = { 'svix-id': 'msg_1', 'svix-timestamp': second, 'svix-signature': `v1a,AAAA ${signature}` };
    t.match(verify(aRequest(svix, body), now), { ok: true });
    for (const bad of [
      { ...headers, 'webhook-id': 'msg_2' },
      { ...headers, 'webhook-timestamp': String(Number(second) - 1) },
      { ...headers, 'webhook-timestamp': String(Number(second) - 400) },
      { ...headers, 'webhook-signature': signature.replace('v1,', 'v2,') },
      { ...headers, 'webhook-signature': signature.slice(0, -1) },
    ]) {
      t.match(verify(aRequest(bad, body), now), { ok: false });
      t.throws(() => webhook.verify(body, bad, { jsonParse: false }));
    }
  }
});

test('what the stripe package signs we accept, and it accepts and refuses what we do', async (t) => {
  const secret = 'whsec_test_secret';
  const old = 'whsec_old_secret';
  const stripe = new Stripe('sk_test_unused');
  const verify = prepareVerifier(signatures.stripe({ secrets: [secret] }).scheme, [secret]);
  for (const payload of ['{"id":"evt_1"}', '{ "id":"evt_ü", "n":1.0 }\n']) {
    const header = stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp: Number(NOW_S) });
    const other = stripe.webhooks.generateTestHeaderString({ payload, secret: old, timestamp: Number(NOW_S) });
    const rolled = `${other},${header.split(',')[1]}`;
    const cases: [string, string, boolean][] = [
      [header, payload, true],
      [rolled, payload, true],
      [`${header},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`, payload, true],
      [other, payload, false],
      [header, `${payload} `, false],
      [header.replace('v1=', 'v0='), payload, false],
      [header.replace(/v1=./, 'v1='), payload, false],
      [header.replace(`t=${NOW_S}`, `t=${Number(NOW_S) - 1}`), payload, false],
    ];
    for (const [value, body, isRight] of cases) {
      t.equal(verify(aRequest({ 'stripe-signature': value }, body), NOW_MS).ok, isRight, value.slice(0, 30));
      const oracle = () => stripe.webhooks.constructEvent(body, value, secret, 300, undefined, NOW_MS);
      if (isRight) t.doesNotThrow(oracle);
      else t.throws(oracle);
    }
    for (const ageS of [0, 300, 301, 3_600]) {
      const verification = verify(aRequest({ 'stripe-signature': header }, payload), NOW_MS + ageS * 1_000 + 999);
      t.equal(verification.ok, ageS <= 300, `${ageS} s old`);
      const oracle = () =>
        stripe.webhooks.constructEvent(payload, header, secret, 300, undefined, NOW_MS + ageS * 1_000 + 999);
      if (ageS <= 300) t.doesNotThrow(oracle);
      else t.throws(oracle);
    }
  }
});

test('what @octokit/webhooks-methods signs we accept, and it refuses what we refuse', async (t) => {
  const secret = 'It is a secret';
  const verify = prepareVerifier(signatures.github({ secrets: [secret] }).scheme, [secret]);
  for (const body of BODIES) {
    const signature = await signLikeGithub(secret, body);
    for (const [value, isRight] of [
      [signature, true],
      [signature.replace('sha256=', 'sha1='), false],
      [signature.replace('sha256=', ''), false],
      [`${signature}00`, false],
      [signature.slice(0, -2), false],
    ] as const) {
      t.equal(verify(aRequest({ 'x-hub-signature-256': value }, body), NOW_MS).ok, isRight);
      t.equal(await verifyLikeGithub(secret, body, value), isRight);
    }
  }
});
