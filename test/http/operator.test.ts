import { test } from 'tap';
import {
  expectProblem,
  getAsIs,
  type ProblemDocument,
  settled,
  startTestApp,
  type TestApp,
  until,
} from '../app/setup.ts';
import { customer, event, shopDefinition, signShop, silentDefinition, startShopApi } from '../app/shop.ts';
import { createGate } from '../helpers/gate.ts';

type RunDocument = {
  readonly id: string;
  readonly state: string;
  readonly mode: string;
  readonly dryRun: boolean;
  readonly pages: number;
  readonly counts: Record<string, number>;
  readonly candidates: number | null;
  readonly error: { code: string; message: string } | null;
};
type RunsAnswer = { readonly runs: RunDocument[]; readonly underWay: string[] };

const postJson = (app: TestApp, path: string, body: unknown) => app.post(path, JSON.stringify(body));
const json = async <T>(response: Response | Promise<Response>): Promise<T> => (await response).json() as Promise<T>;

async function deliver(app: TestApp, type: string, data: unknown): Promise<void> {
  const body = event(type, data);
  const response = await app.post('/webhooks/shop', body, signShop(body));
  if (response.status !== 202) throw new Error(`Not accepted: ${response.status}`);
}

test('health tells liveness and readiness apart', async (t) => {
  const app = await startTestApp(t);
  const health = await app.get('/health');
  t.equal(health.status, 200);
  t.same(await health.json(), { status: 'pass', version: '0.0.0-test' });
  const ready = await app.get('/health/ready');
  t.equal(ready.status, 200);
  t.match(await ready.json(), {
    status: 'pass',
    checks: { database: { status: 'pass' }, migrations: { status: 'pass' } },
  });
  await app.sql(`INSERT INTO sync.migrations (hash, created_at) VALUES ('x', 99999999999999)`);
  const behind = await app.get('/health/ready');
  t.equal(behind.status, 503);
  t.match(await behind.json(), { status: 'fail', checks: { migrations: { status: 'fail' } } });
  t.equal((await app.get('/health')).status, 200);
});

test('reconciling on request', async (t) => {
  const api = await startShopApi(t);
  for (let count = 0; count < 25; count++) {
    const one = customer(`r${String(count).padStart(3, '0')}`);
    api.records.set(one.id, one);
  }
  const app = await startTestApp(t, { apiUrl: api.origin, definitions: [shopDefinition, silentDefinition] });
  const reconcile = (wish: object, query = '') =>
    postJson(app, `/sync/reconcile${query}`, { integration: 'shop', ...wish });
  const count = async () =>
    (await app.sql<{ rows: number }>('SELECT count(*)::int AS rows FROM e2e_customers'))[0]?.rows;

  await t.test('a dry run counts what it would do and writes nothing', async (t) => {
    const response = await reconcile({ mode: 'full', dryRun: true }, '?wait=true');
    t.equal(response.status, 200);
    const { runs } = await json<RunsAnswer>(response);
    t.match(runs, [{ state: 'succeeded', dryRun: true, counts: { inserted: 25, seen: 25 } }]);
    t.equal(await count(), 0);
    t.same(await app.sql('SELECT 1 AS one FROM sync.record_states'), []);
  });

  await t.test('a run without waiting is answered 202 with its id, and can be followed to its end', async (t) => {
    const response = await reconcile({ entity: 'customers', mode: 'full' });
    t.equal(response.status, 202);
    const [run] = (await json<RunsAnswer>(response)).runs;
    t.match(run, { id: /^[0-9a-f-]{36}$/, mode: 'full', state: /queued|running/ });
    const read = () => json<RunDocument>(app.get(`/sync/runs/${run?.id}`));
    await until('the run ends', async () => (await read()).state === 'succeeded');
    t.match(await read(), { pages: 3, counts: { inserted: 25 } });
    t.equal(await count(), 25);
    t.match(await json(app.get('/sync/runs?integration=shop&state=succeeded&limit=1')), { runs: [{ id: run?.id }] });
    t.same(await json(app.get('/sync/runs?integration=silent')), { runs: [] });
  });

  await t.test('an unchanged source costs no write', async (t) => {
    const { runs } = await json<RunsAnswer>(reconcile({ mode: 'full' }, '?wait=1'));
    t.match(runs, [{ state: 'succeeded', counts: { unchanged: 25, inserted: 0, updated: 0, deleted: 0 } }]);
  });

  await t.test('an incremental run with `since` asks only for what changed', async (t) => {
    const late = customer('r_late', { updated_at: '2030-01-01T00:00:00Z' });
    api.records.set(late.id, late);
    const { runs } = await json<RunsAnswer>(reconcile({ since: '2029-12-31T23:00:00+00:00' }, '?wait=true'));
    t.match(runs, [{ mode: 'incremental', state: 'succeeded', counts: { seen: 1, inserted: 1 } }]);
    t.match(api.seen.at(-1)?.url, 'updated_since=2029-12-31');
    api.records.delete(late.id);
    await json<RunsAnswer>(reconcile({ mode: 'full' }, '?wait=true'));
    await settled(app);
    t.equal(await count(), 25);
  });

  await t.test('`ids` reads exactly these records again, the missing ones too', async (t) => {
    api.records.set('r001', customer('r001', { email: 'changed@example.com' }));
    api.records.delete('r002');
    const before = api.seen.length;
    const { runs } = await json<RunsAnswer>(
      reconcile({ entity: 'customers', ids: ['r001', 'r002', 'never/was?#%é'] }, '?wait=true'),
    );
    t.match(runs, [{ mode: 'ids', state: 'succeeded' }]);
    t.same(
      api.seen
        .slice(before)
        .map(({ url }) => url)
        .sort(),
      ['/customers/never%2Fwas%3F%23%25%C3%A9', '/customers/r001', '/customers/r002'],
    );
    t.same(await app.sql(`SELECT external_id, email FROM e2e_customers WHERE external_id IN ('r001', 'r002')`), [
      { external_id: 'r001', email: 'changed@example.com' },
    ]);
  });

  await t.test(
    'while a run is under way another is answered 409 with its id, and a dry run is let through',
    async (t) => {
      const gate = createGate();
      api.gate = ({ url }) => (url.startsWith('/customers?') ? gate.opened : undefined);
      t.teardown(() => gate.open());
      const first = (await json<RunsAnswer>(reconcile({ mode: 'full' }))).runs[0];
      const asked = api.requested(api.seen.length + 1);
      const problem: ProblemDocument = await expectProblem(t, await reconcile({ mode: 'full' }), 409);
      t.match(problem, { type: 'urn:syncline:problem:run-under-way', runs: [first?.id] });
      t.match(problem.detail, first?.id);
      t.equal((await reconcile({ mode: 'full', dryRun: true })).status, 202);
      await asked;
      // Everything of this machine at once: what can be queued is, what cannot is named.
      t.match(await json(app.get('/status/shop')), { entities: [{ runUnderWay: String }] });
      gate.open();
      await until(
        'the run ends',
        async () => (await json<RunDocument>(app.get(`/sync/runs/${first?.id}`))).state === 'succeeded',
      );
      api.gate = () => {};
      await until('no run is open', async () => {
        const open = await app.sql(`SELECT 1 AS one FROM sync.sync_runs WHERE finished_at IS NULL`);
        return open.length === 0;
      });
    },
  );

  await t.test(
    'a cancelled run stops at its next page, keeps what it wrote, and cannot be cancelled twice',
    async (t) => {
      const gate = createGate();
      api.gate = ({ url }) => (url.includes('starting_after') ? gate.opened : undefined);
      t.teardown(() => gate.open());
      const run = (await json<RunsAnswer>(reconcile({ mode: 'full' }))).runs[0];
      await until(
        'its first page is written',
        async () => (await json<RunDocument>(app.get(`/sync/runs/${run?.id}`))).pages === 1,
      );
      const cancelled = await app.post(`/sync/runs/${run?.id}/cancel`, '', {});
      t.equal(cancelled.status, 202);
      gate.open();
      await until(
        'it is cancelled',
        async () => (await json<RunDocument>(app.get(`/sync/runs/${run?.id}`))).state === 'cancelled',
      );
      api.gate = () => {};
      await expectProblem(t, await app.post(`/sync/runs/${run?.id}/cancel`, '', {}), 409);
      t.match(await json(app.get(`/sync/runs/${run?.id}`)), { pages: 1, counts: { deleted: 0 } });
    },
  );

  await t.test(
    'a run that would delete too much waits for approval, which deletes exactly what it showed',
    async (t) => {
      const before = (await count()) ?? 0;
      const kept = [...api.records.values()].slice(0, 3);
      api.records.clear();
      for (const one of kept) api.records.set(one.id, one);
      const { runs } = await json<RunsAnswer>(reconcile({ mode: 'full' }, '?wait=true'));
      const [braked] = runs;
      t.match(braked, { state: 'braked', candidates: before - 3 });
      t.equal(await count(), before);
      t.match(await json(app.get('/status/shop')), {
        state: 'degraded',
        entities: [{ reasons: [/waits for approval/] }],
      });
      const approved = await app.post(`/sync/runs/${braked?.id}/approve`, '', {});
      t.equal(approved.status, 202);
      t.match(await approved.json(), { approvedBy: 'operator' });
      await until(
        'the approved run ends',
        async () => (await json<RunDocument>(app.get(`/sync/runs/${braked?.id}`))).state === 'succeeded',
      );
      t.equal(await count(), 3);
      await expectProblem(t, await app.post(`/sync/runs/${braked?.id}/approve`, '', {}), 409);
    },
  );

  await t.test('what cannot be asked for is answered 422, naming the field and never the value', async (t) => {
    const canary = 'canary-value-77';
    const cases: readonly (readonly [wish: unknown, field: RegExp])[] = [
      [{}, /integration/],
      [{ integration: 7 }, /integration/],
      [{ integration: 'shop', mode: canary }, /mode/],
      [{ integration: 'shop', since: canary }, /since/],
      [{ integration: 'shop', since: '2026-01-01' }, /since/],
      [{ integration: 'shop', since: '2026-01-01T00:00:00' }, /since/],
      [{ integration: 'shop', entity: 'customers', ids: canary }, /ids/],
      [{ integration: 'shop', entity: 'customers', ids: [] }, /ids/],
      [{ integration: 'shop', entity: 'customers', ids: [''] }, /ids/],
      [{ integration: 'shop', entity: 'customers', ids: [canary.repeat(100)] }, /ids/],
      [{ integration: 'shop', entity: 'customers', ids: [`${canary}\u0000`] }, /ids/],
      [{ integration: 'shop', entity: 'customers', ids: [`${canary}\ud800`] }, /ids/],
      [{ integration: 'shop', entity: 'customers', ids: Array.from({ length: 1_001 }, String) }, /ids/],
      [{ integration: 'shop', ids: ['a'] }, /ids need an entity/],
      [{ integration: 'shop', entity: 'customers', ids: ['a'], mode: 'full' }, /ids/],
      [{ integration: 'shop', entity: 'customers', ids: ['a'], dryRun: true }, /dryRun/],
      [{ integration: 'shop', dryRun: canary }, /dryRun/],
      [{ integration: 'shop', mode: 'full', since: '2026-01-01T00:00:00Z' }, /since/],
      [[], /body/],
      [canary, /body/],
      [null, /integration/],
    ];
    for (const [wish, field] of cases) {
      const problem = await expectProblem(t, await postJson(app, '/sync/reconcile', wish), 422);
      t.match(problem.detail, field, JSON.stringify(wish)?.slice(0, 80));
      t.notMatch(JSON.stringify(problem), canary);
    }
    const unknownKey = await expectProblem(
      t,
      await postJson(app, '/sync/reconcile', { integration: 'shop', dry: true }),
      422,
    );
    t.match(unknownKey.detail, /dry/);
    await expectProblem(t, await reconcile({}, '?wait=maybe'), 422);
    await expectProblem(t, await postJson(app, '/sync/reconcile', { integration: 'nobody' }), 404);
    await expectProblem(t, await postJson(app, '/sync/reconcile', { integration: 'shop', entity: 'nobody' }), 404);
    await expectProblem(t, await postJson(app, '/sync/reconcile', { integration: 'shop', entity: '__proto__' }), 404);
    await expectProblem(t, await app.post('/sync/reconcile', '{"integration":'), 400);
    await expectProblem(t, await app.post('/sync/reconcile', 'integration=shop', { 'content-type': 'text/csv' }), 415);
    await expectProblem(t, await app.post('/sync/reconcile', JSON.stringify('x'.repeat(1_100_000))), 413);
    await expectProblem(t, await app.post('/sync/reconcile', '{"integration":"shop","__proto__":{"x":1}}'), 400);
  });

  await t.test('runs that are none are answered 404, filters that are none 422', async (t) => {
    for (const id of ['x', '1', '01a1fd07-abda-72fa-aa81-229987e03ce3', '%00', '..', 'a%2Fb', "' OR 1=1 --"]) {
      await expectProblem(t, await app.get(`/sync/runs/${encodeURIComponent(id).replace('%25', '%')}`), 404);
    }
    for (const query of ['limit=0', 'limit=501', 'limit=many', 'limit=1.5', 'state=done', 'state=%00']) {
      await expectProblem(t, await app.get(`/sync/runs?${query}`), 422);
    }
    t.same(await json(app.get('/sync/runs?integration=%E2%98%83')), { runs: [] });
    t.same((await app.get('/sync/runs?integration=%00')).status, 422);
    t.same((await app.get('/sync/runs?integration=a&integration=b')).status, 422);
  });
});

test('dead letters are listed page by page, retried, discarded', async (t) => {
  const api = await startShopApi(t);
  const app = await startTestApp(t, { apiUrl: api.origin });
  type Letter = {
    id: number;
    externalId: string;
    errorCode: string;
    fieldPath: string;
    message: string;
    state: string;
  };
  type Letters = { deadLetters: Letter[]; next: number | null };
  const list = (query = '') => json<Letters>(app.get(`/dead-letters${query}`));
  for (let count = 0; count < 5; count++) {
    await deliver(app, 'customer.updated', { ...customer(`bad${count}`), amount_cents: 'canary-payload-88' });
  }
  await settled(app);

  await t.test('newest first, with the field and the kind of what came, never the value', async (t) => {
    const { deadLetters, next } = await list();
    t.equal(next, null);
    t.same(
      deadLetters.map(({ externalId }) => externalId),
      ['bad4', 'bad3', 'bad2', 'bad1', 'bad0'],
    );
    t.match(deadLetters[0], {
      fieldPath: 'amount_cents',
      state: 'open',
      message: /shop\/customers.*bad4.*amount_cents/,
    });
    t.notMatch(JSON.stringify(deadLetters), 'canary-payload-88');
  });

  await t.test('a page ends with the id to go on from, and the pages hold every letter once', async (t) => {
    const seen: string[] = [];
    let next: number | null = null;
    do {
      const page: Letters = await list(`?limit=2${next === null ? '' : `&before=${next}`}`);
      seen.push(...page.deadLetters.map(({ externalId }) => externalId));
      next = page.next;
    } while (next !== null);
    t.same(seen, ['bad4', 'bad3', 'bad2', 'bad1', 'bad0']);
    t.same(await list('?integration=silent'), { deadLetters: [], next: null });
    t.equal((await list('?integration=shop&entity=customers')).deadLetters.length, 5);
    for (const query of ['limit=0', 'before=x', 'before=-1', 'state=lost', 'integration=%00', 'entity=%00']) {
      await expectProblem(t, await app.get(`/dead-letters?${query}`), 422);
    }
  });

  await t.test(
    'a retry reads the record again; one that is well by now becomes a row and the letter is replayed',
    async (t) => {
      api.records.set('bad0', customer('bad0'));
      const { deadLetters } = await list();
      const id = deadLetters.at(-1)?.id;
      const retried = await app.post(`/dead-letters/${id}/retry`, '', {});
      t.equal(retried.status, 202);
      t.same(await retried.json(), { retried: 'read' });
      const told = await json(app.get('/records/shop/customers/bad0'));
      t.match(JSON.stringify(told), /"by":\{"kind":"operator","id":"retry"\}/);
      await settled(app);
      t.same(await app.sql(`SELECT email FROM e2e_customers WHERE external_id = 'bad0'`), [
        { email: 'bad0@example.com' },
      ]);
      await expectProblem(t, await app.post(`/dead-letters/${id}/retry`, '', {}), 409);
      t.same(
        (await list('?state=replayed')).deadLetters.map((letter) => letter.id),
        [id],
      );
    },
  );

  await t.test('a discarded one is gone from the open ones and cannot be discarded twice', async (t) => {
    const { id, externalId } = (await list()).deadLetters.at(-1) ?? {};
    const path = `${app.address}/dead-letters/${id}`;
    const discarded = await fetch(path, { method: 'DELETE' });
    t.equal(discarded.status, 204);
    t.match(await json(app.get(`/records/shop/customers/${externalId}`)), {
      history: [
        {
          decision: 'quarantine',
          by: { kind: 'operator', id: 'discard' },
          correlationId: discarded.headers.get('x-correlation-id'),
        },
      ],
    });
    t.equal(await discarded.text(), '');
    await expectProblem(t, await fetch(path, { method: 'DELETE' }), 404);
    await expectProblem(t, await app.post(`/dead-letters/${id}/retry`, '', {}), 409);
    t.equal((await list('?state=discarded')).deadLetters.length, 1);
  });

  await t.test('many are retried at once by filter', async (t) => {
    for (const id of ['bad2', 'bad3', 'bad4']) api.records.set(id, customer(id));
    t.same(await json(postJson(app, '/dead-letters/retry', { integration: 'shop' })), {
      retried: 3,
      stillBad: 0,
      gone: 0,
    });
    await settled(app);
    t.same(await list(), { deadLetters: [], next: null });
    for (const filter of [
      {},
      { integration: 'shop', limit: 0 },
      { integration: 'shop', state: 'open' },
      { integration: '\u0000' },
    ]) {
      await expectProblem(t, await postJson(app, '/dead-letters/retry', filter), 422);
    }
  });

  await t.test('ids that are none are refused without a look at the database', async (t) => {
    for (const id of ['x', '0', '-1', '1.5', '9007199254740993', '%00', '1e400']) {
      await expectProblem(t, await app.post(`/dead-letters/${id}/retry`, '', {}), 422);
      await expectProblem(t, await fetch(`${app.address}/dead-letters/${id}`, { method: 'DELETE' }), 422);
    }
    await expectProblem(t, await app.post('/dead-letters/123456/retry', '', {}), 404);
    await expectProblem(t, await fetch(`${app.address}/dead-letters/123456`, { method: 'DELETE' }), 404);
  });
});

test('a record is explained', async (t) => {
  const api = await startShopApi(t);
  const app = await startTestApp(t, { apiUrl: api.origin });
  const explain = (id: string) => app.get(`/records/shop/customers/${encodeURIComponent(id)}`);

  await t.test('with its row, its version, who wrote it, and what was refused and why', async (t) => {
    const newer = customer('e1', { updated_at: '2026-03-02T10:00:00.123456Z', email: 'newer@example.com' });
    await deliver(app, 'customer.created', newer);
    await settled(app);
    await deliver(app, 'customer.updated', customer('e1', { updated_at: '2026-03-01T00:00:00Z' }));
    await settled(app);
    const record = await json<{ history: unknown[] }>(explain('e1'));
    t.match(record, {
      integration: 'shop',
      entity: 'customers',
      id: 'e1',
      status: 'live',
      version: '2026-03-02T10:00:00.123456Z',
      tombstone: null,
      timesApplied: 1,
      row: { email: 'newer@example.com', amount: 100 },
    });
    t.match(record.history, [
      { decision: 'stale', channel: 'hook', version: '2026-03-01T00:00:00.000Z', by: { kind: 'delivery' } },
      { decision: 'insert', channel: 'hook', by: { kind: 'delivery', id: /^\d+$/ }, correlationId: /^[0-9a-f-]{36}$/ },
    ]);
  });

  await t.test('a deleted one as a tombstone, which a late update does not revive', async (t) => {
    await deliver(app, 'customer.created', customer('e2', { updated_at: '2026-03-02T10:00:00Z' }));
    await settled(app);
    await deliver(app, 'customer.deleted', { id: 'e2' });
    await settled(app);
    await deliver(app, 'customer.updated', customer('e2', { updated_at: '2026-03-01T10:00:00Z' }));
    await settled(app);
    t.match(await json(explain('e2')), { status: 'tombstone', row: null, tombstone: { seenAt: String } });
  });

  await t.test('ids with every kind of character, to the length that is taken', async (t) => {
    const ids = [
      'a/b',
      '..',
      '.',
      '../../etc/passwd',
      'ü ☃ 𝄞',
      '%2F',
      'a?b#c',
      '__proto__',
      'constructor',
      "o'; DROP TABLE x --",
      'x'.repeat(512),
      '☃'.repeat(512),
      ' ',
      '\n',
      '\u007f',
      '\\',
      '{id}',
    ];
    for (const id of ids) await deliver(app, 'customer.created', customer(id));
    await settled(app);
    for (const id of ids) {
      const { status, body } = await getAsIs(app, `/records/shop/customers/${encodeURIComponent(id)}`);
      t.equal(status, 200, `${JSON.stringify(id).slice(0, 40)} ${body.slice(0, 80)}`);
      if (status === 200) t.match(JSON.parse(body), { id, status: 'live', row: Object });
    }
  });

  await t.test(
    'what is not known is answered 404: a record, an entity, an integration, and ids that cannot be',
    async (t) => {
      await expectProblem(t, await explain('nobody'), 404);
      await expectProblem(t, await explain('x'.repeat(513)), 404);
      await expectProblem(t, await explain('\u0000'), 404);
      await expectProblem(t, await explain('a\u0000b'), 404);
      await expectProblem(t, await app.get('/records/shop/customers/'), 404);
      await expectProblem(t, await app.get('/records/shop/nobody/e1'), 404);
      await expectProblem(t, await app.get('/records/nobody/customers/e1'), 404);
      await expectProblem(t, await app.get('/records/__proto__/constructor/e1'), 404);
      await expectProblem(t, await app.get('/records/shop/customers/%ED%A0%80'), 400);
      await expectProblem(t, await app.get(`/records/shop/customers/${'x'.repeat(5_000)}`), 400);
    },
  );
});

test('status says how each stream stands and why', async (t) => {
  const api = await startShopApi(t);
  const app = await startTestApp(t, { apiUrl: api.origin, definitions: [shopDefinition, silentDefinition] });
  t.match(await json(app.get('/status')), {
    integrations: [
      {
        integration: 'shop',
        state: 'degraded',
        entities: [{ entity: 'customers', reasons: ['no run has ended yet'] }],
      },
      { integration: 'silent', state: 'degraded' },
    ],
  });
  api.records.set('s1', customer('s1'));
  await postJson(app, '/sync/reconcile?wait=true', { integration: 'shop' });
  t.match(await json(app.get('/status/shop')), {
    integration: 'shop',
    state: 'healthy',
    inbox: { waiting: 0, oldestWaitMs: null },
    entities: [
      { state: 'healthy', reasons: [], lastSyncStatus: 'success', recordsSynced: 1, recordsFailed: 0, deadLetters: 0 },
    ],
  });
  api.records.set('s2', customer('s2'));
  await postJson(app, '/sync/reconcile?wait=true', { integration: 'shop', mode: 'full' });
  await until('the drift is counted', async () => {
    const status = await json<{ entities: { drift: { missing: number } }[] }>(app.get('/status/shop'));
    return status.entities[0]?.drift.missing === 1;
  });
  t.match(
    await app.sql('SELECT integration, last_status, records_synced::int AS synced FROM sync.sync_status ORDER BY 1'),
    [
      { integration: 'shop', last_status: 'success', synced: 2 },
      { integration: 'silent', last_status: null, synced: 0 },
    ],
  );
  api.gate = () => Promise.reject(new Error('broken off'));
  const failed = await json<RunsAnswer>(postJson(app, '/sync/reconcile', { integration: 'shop', mode: 'full' }));
  t.equal(failed.runs.length, 1);
  t.equal((await app.post(`/sync/runs/${failed.runs[0]?.id}/cancel`, '', {})).status, 202);
  await expectProblem(t, await app.get('/status/nobody'), 404);
  await expectProblem(t, await app.get('/status/__proto__'), 404);
});

test('routes that are none are problem documents, whatever their method', async (t) => {
  const app = await startTestApp(t);
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    await expectProblem(t, await fetch(`${app.address}/no/such/route`, { method }), 404);
  }
  for (const path of [
    '/',
    '//',
    '/health/',
    '/Health',
    '/webhooks',
    '/records',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/.env',
  ]) {
    const response = await app.get(path);
    t.equal(response.status, 404, path);
    t.match(response.headers.get('content-type'), 'problem+json');
  }
  t.equal((await fetch(`${app.address}/health`, { method: 'POST' })).status, 404);
  const answered = await app.get('/health');
  t.match(Object.fromEntries(answered.headers), {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-correlation-id': /^[0-9a-f-]{36}$/,
  });
  t.notOk(answered.headers.has('server') || answered.headers.has('x-powered-by'));
});
