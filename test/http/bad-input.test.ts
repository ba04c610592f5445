import { test } from 'tap';
import { expectProblem } from '../app/setup.ts';
import { load, startWorld } from './crm-world.ts';

test('input that does not fit is told by its field, what was expected and the kind of what came, and never repeated', async (t) => {
  const { crm, app, send } = await startWorld(t);
  await load(app, crm, ['c1']);
  const path = '/records/crm/contacts/c1';
  const cases: [method: string, path: string, body: unknown, detail: string][] = [
    ['PATCH', `${path}?wait=secret`, { age: 31 }, 'wait: expected true or false, got string'],
    ['POST', '/sync/reconcile?wait=secret', { integration: 'crm' }, 'wait: expected true or false, got string'],
    ['DELETE', `${path}?wiat=true`, undefined, 'wiat: is no field here; look for a typing error'],
    [
      'POST',
      '/sync/reconcile',
      { integration: 'crm', mode: 'secret' },
      'mode: expected one of incremental, full, got string',
    ],
    ['POST', '/sync/reconcile', { integration: 'crm', dryRun: 'secret' }, 'dryRun: expected boolean, got string'],
    ['POST', '/sync/reconcile', { integration: 7 }, 'integration: expected string, got number'],
    ['POST', '/sync/reconcile', {}, 'integration: is missing: expected string'],
    ['POST', '/sync/reconcile', { integration: 'crm', 'my secret': 1 }, '*: is no field here; look for a typing error'],
    ['POST', '/sync/reconcile', ['secret'], '(body): expected object, got array'],
    [
      'GET',
      '/pushes?state=secret',
      undefined,
      'state: expected one of open, ready, calling, unknown, parked, done, got string',
    ],
    ['GET', '/pushes?before=secret', undefined, 'before: expected a UUID, got string'],
  ];
  for (const [method, url, body, detail] of cases) {
    const problem = await expectProblem(t, await send(method, url, body), 422);
    t.equal(problem.detail, detail);
  }
});

test('a body in another encoding than UTF-8 is refused, and not read as if it were', async (t) => {
  const { crm, app } = await startWorld(t);
  await load(app, crm, ['c1']);
  const patch = (type: string, body: string | Buffer) =>
    fetch(`${app.address}/records/crm/contacts/c1`, { method: 'PATCH', headers: { 'content-type': type }, body });
  for (const charset of ['utf-16', '"UTF-16LE"', 'iso-8859-1']) {
    const problem = await expectProblem(t, await patch(`application/json; charset=${charset}`, '{"age":31}'), 415);
    t.match(problem, { type: 'urn:syncline:problem:unsupported-type', detail: 'expected JSON in UTF-8' });
  }
  const latin = Buffer.from('{"name":"Zo\u00eb"}', 'latin1');
  t.equal((await expectProblem(t, await patch('application/json', latin), 400)).detail, 'expected UTF-8');
  t.same(crm.writes, []);
  t.equal((await patch('application/json; charset=UTF-8', '{"name":"Zo\u00eb"}')).status, 202);
});
