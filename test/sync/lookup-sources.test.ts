import { test } from 'tap';
import { z } from 'zod';
import { field } from '../../src/mapping/field.ts';
import { lookup } from '../../src/mapping/lookup.ts';
import { endpoint } from '../../src/source/endpoint.ts';
import { lookupSourcesOf } from '../../src/sync/lookup-sources.ts';

test('a list is read for lookups with the same defaults as by a call that names no argument', async (t) => {
  const mapping = { owner: field('owner_id', lookup('users', { by: 'id', take: 'name' })) };
  const params = z.object({ state: z.string().default('all'), team: z.string().optional() });
  const users = endpoint({ path: '/users', params, list: {} });
  const definition = { endpoints: { users }, entities: { tickets: { mapping } } };
  t.match(lookupSourcesOf(Object(definition)), [{ name: 'users', params: { state: 'all' } }]);
});
