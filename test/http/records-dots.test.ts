import { request } from 'node:http';
import { test } from 'tap';
import { expectProblem, until } from '../app/setup.ts';
import { json, load, startWorld } from './crm-world.ts';

type Pushes = {
  readonly pushes: {
    readonly recordId: string;
    readonly parked: string;
    readonly error: { readonly code: string; readonly message: string };
  }[];
};

test('an edit of a record whose id an address resolves away is parked with the reason, and nothing is asked of another endpoint', async (t) => {
  const { crm, app, send } = await startWorld(t);
  const ids = ['.', '..', '%2e', '...'];
  await load(app, crm, ids);
  await app.sql('UPDATE crm_contacts SET age = 31');
  const parked = async () => (await json<Pushes>(app.get('/pushes?state=parked'))).pushes;
  await until('those are parked', async () => (await parked()).length === 2);
  await until('the others are at the source', () => ['%2e', '...'].every((id) => crm.records.get(id)?.age === 31));
  for (const push of await parked()) {
    t.match(push, { parked: 'refused', error: { code: 'bad_id', message: /is resolved away in an address/ } });
  }
  t.same((await parked()).map(({ recordId }) => recordId).sort(), ['.', '..']);
  t.same(new Set(crm.writes.map(({ path }) => path)), new Set(['/contacts/%252e', '/contacts/...']));
  t.same(await app.sql(`SELECT 1 AS one FROM sync.outbox_pushes WHERE state = 'ready'`), [], 'they are not made anew');
  t.equal(
    (
      await send(
        'DELETE',
        `/pushes/${(await json<{ pushes: { id: string }[] }>(app.get('/pushes?state=parked'))).pushes[0]?.id}`,
      )
    ).status,
    204,
  );
});

/** As `fetch`, which would take the dots out of the path first. */
const patchAsIs = (port: number, path: string, body: string): Promise<Response> =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    request({ host: '127.0.0.1', port, path, method: 'PATCH', headers, agent: false }, (answer) => {
      const type = String(answer.headers['content-type']);
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      answer.once('end', () =>
        resolve(new Response(text, { status: answer.statusCode ?? 0, headers: { 'content-type': type } })),
      );
    })
      .once('error', reject)
      .end(body);
  });

test('where the source is asked first, an edit of such a record is refused at once', async (t) => {
  const { crm, app } = await startWorld(t, { mode: 'source-first' });
  await load(app, crm, ['..']);
  const answer = await patchAsIs(app.port, '/records/crm/contacts/%2E%2E', '{"age": 31}');
  const problem = await expectProblem(t, answer, 422);
  t.match(problem, { type: 'urn:syncline:problem:source-refused', sourceCode: 'bad_id' });
  t.same(crm.writes, []);
});
