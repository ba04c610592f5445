import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql } from 'drizzle-orm';
import { test } from 'tap';
import { connectDatabase } from '../../src/db/connect.ts';
import { lockDirectory } from '../../src/db/directory-lock.ts';
import { queryRows } from '../../src/db/query.ts';
import { silentLog } from '../helpers/database.ts';

test('a folder in use is refused, naming the folder, the process and the way out', async (t) => {
  const folder = t.testdir();
  const lock = lockDirectory(folder);
  t.throws(() => lockDirectory(folder), { code: 'directory_locked' });
  t.throws(() => lockDirectory(folder), { message: folder });
  t.throws(() => lockDirectory(folder), { message: `process ${process.pid}` });
  t.throws(() => lockDirectory(folder), { message: 'DATABASE_URL' });
  lock.release();
});

test('a released folder can be taken again, as often as one likes, and one lock file remains', async (t) => {
  const folder = t.testdir();
  for (let round = 0; round < 5; round += 1) lockDirectory(folder).release();
  const last = lockDirectory(folder);
  t.same(readdirSync(folder), ['lock.6']);
  last.release();
  last.release();
});

test('the lock of a pid that began at another time is stale, however young it is', async (t) => {
  const folder = t.testdir();
  lockDirectory(folder);
  const path = join(folder, 'lock.1');
  const holder: { startedAt: string } = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...holder, startedAt: 'another time' }));
  lockDirectory(folder).release();
  t.same(readdirSync(folder), ['lock.2']);
});

test('the lock of a living process is kept, however old it is', async (t) => {
  const folder = t.testdir();
  lockDirectory(folder);
  const path = join(folder, 'lock.1');
  utimesSync(path, 0, 0);
  t.throws(() => lockDirectory(folder), { code: 'directory_locked' });
});

test('of two processes on one folder the second is refused, and a killed one is succeeded without loss', async (t) => {
  const folder = join(t.testdir(), 'data');
  const first = holdDatabase(folder);
  t.teardown(() => first.child.kill('SIGKILL'));
  t.equal(await first.firstLine, 'open');

  const second = holdDatabase(folder);
  t.teardown(() => second.child.kill('SIGKILL'));
  t.match(await second.firstLine, /^directory_locked /);
  t.match(await second.firstLine, `process ${first.child.pid}`);
  await t.rejects(connectDatabase({ dataDir: folder, log: silentLog }), { code: 'directory_locked' });

  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  const third = await connectDatabase({ dataDir: folder, log: silentLog });
  t.same(await queryRows(third.db, sql`SELECT count(*)::int AS count FROM held`), [{ count: 1 }]);
  await third.close();
});

test('of many processes that start at once on a folder whose holder died, one gets it', async (t) => {
  const folder = t.testdir();
  lockDirectory(folder);
  const path = join(folder, 'lock.1');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/"startedAt":"[^"]*"/, '"startedAt":"gone"'));
  const starts = Array.from({ length: 4 }, () => holdDatabase(folder));
  t.teardown(() => starts.map(({ child }) => child.kill('SIGKILL')));
  const lines = await Promise.all(starts.map(({ firstLine }) => firstLine));
  t.equal(lines.filter((line) => line === 'open').length, 1);
  t.equal(lines.filter((line) => line.startsWith('directory_locked ')).length, 3);
});

/** Starts `hold-database` in a process of its own, as source or compiled like this file. */
function holdDatabase(folder: string): { readonly child: ChildProcess; readonly firstLine: Promise<string> } {
  const isSource = import.meta.url.endsWith('.ts');
  const program = fileURLToPath(new URL(`../helpers/hold-database.${isSource ? 'ts' : 'js'}`, import.meta.url));
  const child = spawn(process.execPath, [...(isSource ? ['--import', 'tsx'] : []), program, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const firstLine = new Promise<string>((resolve) => {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.includes('\n')) resolve(text.split('\n')[0] ?? '');
    });
    child.once('exit', () => resolve(text.trim() || 'ended without a word'));
  });
  return { child, firstLine };
}
