import { pino } from 'pino';
import { test } from 'tap';
import { StatementError } from '../../src/db/errors.ts';
import { createServer } from '../../src/http/server.ts';

test('a row that somebody holds is no fault of the server’s: the caller is told to try again', async (t) => {
  const app = createServer(pino({ level: 'silent' }));
  t.teardown(() => app.close());
  app.post('/held/:state', async (request) => {
    throw new StatementError((request.params as { state: string }).state, {});
  });
  for (const [state, status, code] of [
    ['55P03', 503, 'row-held'],
    ['40P01', 503, 'row-held'],
    ['08006', 503, 'database-unavailable'],
    ['42703', 500, 'internal'],
  ] as const) {
    const answer = await app.inject({ method: 'POST', url: `/held/${state}` });
    t.equal(answer.statusCode, status, state);
    t.match(answer.json(), { type: new RegExp(`${code}$`) });
    t.equal(answer.headers['retry-after'] !== undefined, status === 503);
  }
});
