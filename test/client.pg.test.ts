import { test } from 'tap';
import { createClient } from '../src/client.ts';
import { defineIntegration } from '../src/define/define.ts';
import { endpoint } from '../src/source/endpoint.ts';
import { startSource } from './client-setup.ts';
import { createOnServer } from './helpers/database.ts';
import { skipWithoutPostgres, startPostgres } from './helpers/postgres.ts';
import { failure } from './source/setup.ts';

test('clients on one database spend one budget, whoever asks', { skip: skipWithoutPostgres() }, async (t) => {
  const { url } = await createOnServer(t, (await startPostgres(t)).url);
  const source = await startSource(t, () => ({ body: {} }));
  const crm = defineIntegration({
    name: 'crm',
    source: { baseUrl: source.baseUrl, rateLimits: [{ requests: 5, per: '1h' }] },
    entities: {},
    endpoints: { ping: endpoint({ path: '/ping' }) },
  });
  const environment = { DATABASE_URL: url };
  const clients = [createClient(crm, { environment }), createClient(crm, { environment })];
  t.teardown(() => Promise.all(clients.map((client) => client.close())));
  const codes: string[] = [];
  for (let call = 0; call < 8; call++) {
    const client = clients[call % 2];
    if (client === undefined) throw new Error('No client');
    if (source.seen.length < 5) await client.ping();
    else codes.push((await failure(Promise.resolve(client.ping()))).code);
  }
  t.equal(source.seen.length, 5);
  t.same(codes, ['rate_limited', 'rate_limited', 'rate_limited']);
});
