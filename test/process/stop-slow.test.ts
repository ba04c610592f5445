import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'tap';
import { startTestApp } from '../app/setup.ts';

const MAX_STOP_MS = 5_000;

test('an upload that never ends does not hold the stop up, and the leader gives its lease back', async (t) => {
  const app = await startTestApp(t, { settings: { roles: ['ingest', 'worker', 'scheduler'] } });
  const socket = connect(app.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const closed = once(socket, 'close');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(
    'POST /webhooks/shop HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{',
  );
  await app.get('/health');
  const from = performance.now();
  await app.app.stop();
  const tookMs = performance.now() - from;
  t.ok(tookMs < MAX_STOP_MS, `${Math.round(tookMs)} ms`);
  await closed;
  t.same(await app.sql(`SELECT name FROM sync.leases WHERE expires_at > now()`), []);
  t.notMatch(app.logged(), /stop was not clean/);
});
