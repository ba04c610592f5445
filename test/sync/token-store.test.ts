import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { queryRows } from '../../src/db/query.ts';
import { createSealer, readKeys } from '../../src/lib/seal.ts';
import type { TokenSet } from '../../src/source/auth/token-store.ts';
import { createTokenStore, resealTokens } from '../../src/sync/token-store.ts';
import { createTestDatabase } from '../helpers/database.ts';
import { collectLog, type LogLine } from '../source/setup.ts';

const newKey = () => randomBytes(32).toString('base64');
function sealerOf(text: string) {
  const keys = readKeys(text);
  if (!keys.ok) throw new Error(keys.problem);
  return createSealer(keys.keys);
}

const TOKENS: TokenSet = {
  accessToken: 'CANARY-access',
  requestedAt: 1_000_000,
  lifetimeMs: 3_600_000,
  scope: 'read',
  refreshToken: 'CANARY-refresh',
  spares: ['CANARY-spare'],
  family: 'one',
  seeds: ['hash'],
  refused: null,
};

test('tokens are kept sealed, whole, and by the guard of their generation', async (t) => {
  const { db } = await createTestDatabase(t);
  const store = createTokenStore({ db, sealer: sealerOf(newKey()) });
  t.match(await store.read('crm'), { generation: 0, tokens: null, usedGeneration: null });
  t.equal(await store.save('crm', { lease: null, generation: 0, tokens: TOKENS }), true);
  t.equal(await store.save('crm', { lease: null, generation: 0, tokens: { ...TOKENS, scope: 'late' } }), false);
  const found = await store.read('crm');
  t.same(found.tokens, TOKENS);
  t.equal(found.generation, 1);
  const [row] = await queryRows<{ dump: string }>(
    db,
    sql`SELECT encode(sealed, 'escape') AS dump FROM sync.credentials`,
  );
  t.notMatch(row?.dump, /CANARY/);
});

test('a lease is held by one, is given back by its holder alone, and lapses', async (t) => {
  const { db } = await createTestDatabase(t);
  const store = createTokenStore({ db, sealer: sealerOf(newKey()) });
  const claims = await Promise.all(Array.from({ length: 5 }, () => store.acquire('crm', 60_000)));
  const [first, ...others] = claims.filter((claim) => claim !== null);
  if (first === undefined) throw new Error('Nobody got it');
  t.equal(others.length, 0);
  await store.release('crm', '00000000-0000-4000-8000-000000000000', { isUnused: true });
  t.equal(await store.acquire('crm', 60_000), null);
  await store.release('crm', first.lease, { isUnused: false });
  const lapsing = await store.acquire('crm', 0);
  t.ok(lapsing);
  t.ok(await store.acquire('crm', 60_000));
  t.equal(await store.noteUse('crm', { lease: lapsing?.lease ?? '', generation: 0, leaseMs: 60_000 }), false);
  await store.settled(0);
});

test('a use is noted until its tokens are stored, or the source has not taken it', async (t) => {
  const { db } = await createTestDatabase(t);
  const store = createTokenStore({ db, sealer: sealerOf(newKey()) });
  const use = async () => {
    const claim = await store.acquire('crm', 60_000);
    if (claim === null) throw new Error('It is held');
    const { generation } = claim.stored;
    t.equal(await store.noteUse('crm', { lease: claim.lease, generation: generation + 1, leaseMs: 60_000 }), false);
    t.equal(await store.noteUse('crm', { lease: claim.lease, generation, leaseMs: 60_000 }), true);
    return { ...claim, generation };
  };
  const unused = await use();
  await store.release('crm', unused.lease, { isUnused: true });
  t.equal((await store.read('crm')).usedGeneration, null);
  const lost = await use();
  await store.release('crm', lost.lease, { isUnused: false });
  t.equal((await store.read('crm')).usedGeneration, 0);
  const stored = await use();
  t.equal(await store.save('crm', { lease: stored.lease, generation: 0, tokens: TOKENS }), true);
  t.match(await store.read('crm'), { generation: 1, usedGeneration: null });
  t.ok(await store.acquire('crm', 60_000), 'the save gave the lease back');
});

test('late tokens are saved without taking the lease from its new holder', async (t) => {
  const { db } = await createTestDatabase(t);
  const store = createTokenStore({ db, sealer: sealerOf(newKey()) });
  const slow = await store.acquire('crm', 0);
  const quick = await store.acquire('crm', 60_000);
  t.equal(await store.save('crm', { lease: slow?.lease ?? null, generation: 0, tokens: TOKENS }), true);
  t.equal(await store.acquire('crm', 60_000), null);
  t.equal(await store.noteUse('crm', { lease: quick?.lease ?? '', generation: 0, leaseMs: 60_000 }), false);
});

test('a row that was copied to another integration does not open there', async (t) => {
  const { db } = await createTestDatabase(t);
  const store = createTokenStore({ db, sealer: sealerOf(newKey()) });
  await store.save('crm', { lease: null, generation: 0, tokens: TOKENS });
  await queryRows(
    db,
    sql`INSERT INTO sync.credentials (integration, sealed, generation) SELECT 'shop', sealed, 1 FROM sync.credentials`,
  );
  t.equal((await store.read('shop')).tokens, 'unreadable');
});

test('at the start tokens move to the first key; what no key opens is told and left alone', async (t) => {
  const { db } = await createTestDatabase(t);
  const [old, next, foreign] = [newKey(), newKey(), newKey()];
  await createTokenStore({ db, sealer: sealerOf(old) }).save('crm', { lease: null, generation: 0, tokens: TOKENS });
  await createTokenStore({ db, sealer: sealerOf(foreign) }).save('shop', {
    lease: null,
    generation: 0,
    tokens: TOKENS,
  });
  const lines: LogLine[] = [];
  const rotating = { db, sealer: sealerOf(`${next},${old}`), log: collectLog(lines) };
  t.equal(await resealTokens(rotating), 1);
  const store = createTokenStore({ db, sealer: sealerOf(next) });
  t.match(await store.read('crm'), { generation: 1, tokens: TOKENS });
  t.equal((await store.read('shop')).tokens, 'unreadable');
  t.match(
    lines.map(({ level, fields }) => `${level} ${fields.integration}`),
    ['info crm', 'error shop'],
  );
  t.same((await createTokenStore({ db, sealer: sealerOf(foreign) }).read('shop')).tokens, TOKENS);
});

test('a stop waits for tokens that are being got, and not for ever', async (t) => {
  const { db } = await createTestDatabase(t);
  const store = createTokenStore({ db, sealer: sealerOf(newKey()) });
  const claim = await store.acquire('crm', 60_000);
  let isSettled = false;
  const settled = store.settled(60_000).then(() => {
    isSettled = true;
  });
  await store.settled(1);
  t.equal(isSettled, false);
  await store.release('crm', claim?.lease ?? '', { isUnused: false });
  await settled;
});
