import { createServer, type Socket } from 'node:net';
import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { connectDatabase, type Database } from '../../src/db/connect.ts';
import { failureKind } from '../../src/db/failure.ts';
import { openPostgresSession } from '../../src/db/postgres-session.ts';
import { queryRows } from '../../src/db/query.ts';
import { createOnServer, silentLog } from '../helpers/database.ts';
import { skipWithoutPostgres, startPostgres } from '../helpers/postgres.ts';

const skip = skipWithoutPostgres();

test('every session carries the limits that keep one statement from holding up others', { skip }, async (t) => {
  const server = await startPostgres(t);
  const { database } = await createOnServer(t, server.url);
  const settings = sql`SELECT name, setting FROM pg_settings
    WHERE name IN ('lock_timeout','statement_timeout','idle_in_transaction_session_timeout','application_name','TimeZone','synchronous_commit')
    ORDER BY name`;
  for (const db of [database.db, database.ingestDb]) {
    t.same(Object.fromEntries((await queryRows(db, settings)).map(({ name, setting }) => [name, setting])), {
      application_name: 'syncline',
      idle_in_transaction_session_timeout: '30000',
      lock_timeout: '300',
      statement_timeout: '30000',
      synchronous_commit: 'on',
      TimeZone: 'UTC',
    });
  }
});

test('a locked row is given up on quickly and sorted as a lock', { skip }, async (t) => {
  const server = await startPostgres(t);
  const { db } = await createOnServer(t, server.url);
  await db.execute(sql`INSERT INTO sync.leases (name) VALUES ('a')`);
  await db.transaction(async (tx) => {
    await tx.execute(sql`SELECT * FROM sync.leases FOR UPDATE`);
    const error: unknown = await db.execute(sql`UPDATE sync.leases SET fence = 1`).catch((reason) => reason);
    t.equal(failureKind(error), 'lock_timeout');
  });
});

test('statements fail as a lost connection while the server is away, and work again when it is back', {
  skip,
}, async (t) => {
  const server = await startPostgres(t);
  const { database } = await createOnServer(t, server.url);
  const { db } = database;
  await db.execute(sql`INSERT INTO sync.leases (name) VALUES ('before')`);
  for (const stop of [server.stopImmediate, server.stop]) {
    const open = Array.from({ length: 2 }, () => kindOf(db.execute(sql`SELECT pg_sleep(20)`)));
    const inTransaction = kindOf(
      db.transaction(async (tx) => {
        await tx.execute(sql`INSERT INTO sync.leases (name) VALUES ('never')`);
        await stop();
        await tx.execute(sql`SELECT 1`);
      }),
    );
    t.equal(await inTransaction, 'connection');
    t.same(new Set(await Promise.all(open)), new Set(['connection']));
    const away = await Promise.all(Array.from({ length: 12 }, () => kindOf(db.execute(sql`SELECT 1`))));
    t.same(new Set(away), new Set(['connection']));
    await server.start();
    await untilItAnswers(database);
    t.same(await queryRows(db, sql`SELECT name FROM sync.leases`), [{ name: 'before' }]);
  }
});

test('what a lost transaction still does never reaches the one that follows it', { skip }, async (t) => {
  const server = await startPostgres(t);
  const { db, url } = await createOnServer(t, server.url, { poolSize: 1 });
  const killer = await connectDatabase({ url, poolSize: 1, ingestPoolSize: 1, log: silentLog });
  t.teardown(() => killer.close());
  let wakeUp = () => {};
  const asleep = new Promise<void>((resolve) => {
    wakeUp = resolve;
  });
  const lost = db.transaction(async (tx) => {
    await tx.execute(sql`INSERT INTO sync.leases (name) VALUES ('lost')`);
    const [row] = await queryRows<{ pid: number }>(tx, sql`SELECT pg_backend_pid() AS pid`);
    await killer.db.execute(sql`SELECT pg_terminate_backend(${row?.pid}, 5000)`);
    // Caught, as careless code would; the next statement must not run on another connection.
    await tx.execute(sql`SELECT 1`).catch(() => {});
    await asleep;
    t.equal(await kindOf(tx.execute(sql`INSERT INTO sync.leases (name) VALUES ('stray')`)), 'connection');
  });
  const outcome = kindOf(lost);
  const next = db.transaction(async (tx) => {
    await tx.execute(sql`INSERT INTO sync.leases (name) VALUES ('next')`);
    throw new Error('stop');
  });
  wakeUp();
  await t.rejects(next, { message: 'stop' });
  t.equal(await outcome, 'connection');
  t.same(await queryRows(db, sql`SELECT name FROM sync.leases`), []);
});

test('a statement that the server stops answering is given up on', { skip }, async (t) => {
  const server = await startPostgres(t);
  let isLost = 0;
  const session = openPostgresSession({
    url: server.url,
    settings: {},
    silenceMs: 100,
    nowMs: () => 0,
    onLost: () => {
      isLost += 1;
    },
  });
  t.equal(await kindOf(session.query('SELECT pg_sleep(30)')), 'connection');
  t.equal(isLost, 1);
  t.equal(await kindOf(session.query('SELECT 1')), 'connection');
});

test('a server that does not answer at start is named as such, without the password', { skip }, async (t) => {
  const server = await startPostgres(t);
  const url = server.url.replace('postgres@', 'postgres:hunter2@');
  await server.stop();
  const error: unknown = await connectDatabase({ url, log: silentLog }).catch((reason) => reason);
  t.match(error, { code: 'unreachable', message: 'DATABASE_URL' });
  t.notMatch(String(error), 'hunter2');
  await t.rejects(connectDatabase({ url: 'not an address', log: silentLog }), { code: 'invalid_url' });
});

test('a server that accepts connections and stays silent is given up on', { skip: false }, async (t) => {
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const address = silent.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await t.rejects(connectDatabase({ url: `postgres://x@127.0.0.1:${port}/x`, log: silentLog }), {
    code: 'unreachable',
  });
});

const kindOf = (work: Promise<unknown>) => work.then(() => 'done', failureKind);

/** Each try that fails ends with its own connection attempt, so this waits for answers and not for time. */
async function untilItAnswers(database: Database): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (
      (await kindOf(Promise.all([database.db.execute(sql`SELECT 1`), database.ingestDb.execute(sql`SELECT 1`)]))) ===
      'done'
    )
      return;
  }
  throw new Error('the database did not come back');
}
