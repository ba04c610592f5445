import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, chownSync, constants, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const MAX_LOG_CHARS = 20_000;
const NEEDED_PROGRAMS = ['initdb', 'postgres'] as const;

export type PrivatePostgres = {
  /** Superuser, no password, on a random port of the loopback address. The same after a restart. */
  readonly url: string;
  /** Of the server's main process; null while it is stopped. */
  pid(): number | null;
  start(): Promise<void>;
  /** Ends open connections, keeps everything committed (a "fast" shutdown). */
  stop(): Promise<void>;
  /** As a crash: no checkpoint, the next start recovers from the log. */
  stopImmediate(): Promise<void>;
  /** Stops and deletes everything. Safe to repeat. */
  remove(): Promise<void>;
};

/** For tap's `skip`: why tests on a PostgreSQL server of their own cannot run here, or false when they can. */
export function skipWithoutPostgres(): string | false {
  if (findPrograms() === null)
    return `needs PostgreSQL's programs ${NEEDED_PROGRAMS.join(' and ')} (in PATH or /usr/lib/postgresql/*/bin)`;
  if (process.getuid?.() === 0 && unprivilegedUser() === null)
    return 'needs a user postgres or nobody: PostgreSQL refuses to run as root';
  return false;
}

/** A PostgreSQL server for one test, removed with it. fsync is on, as in production; `settings` are passed as `-c`. */
export async function startPostgres(
  t: { teardown(work: () => unknown): unknown },
  settings: readonly string[] = [],
): Promise<PrivatePostgres> {
  const server = await createPrivatePostgres(settings);
  t.teardown(() => server.remove());
  return server;
}

/** As `startPostgres`, for callers that remove it themselves. It also ends with this process. */
export async function createPrivatePostgres(settings: readonly string[] = []): Promise<PrivatePostgres> {
  const programs = findPrograms();
  if (programs === null) throw new Error(String(skipWithoutPostgres()));
  const user = process.getuid?.() === 0 ? unprivilegedUser() : null;
  const identity = user === null ? {} : { uid: user.uid, gid: user.gid };
  const folder = mkdtempSync(join(tmpdir(), 'syncline-pg-'));
  if (user !== null) chownSync(folder, user.uid, user.gid);
  const dataDir = join(folder, 'data');
  execFileSync(
    join(programs, 'initdb'),
    ['-D', dataDir, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    { ...identity, cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const port = await freePort();
  let child: ChildProcess | null = null;

  const killNow = () => child?.kill('SIGQUIT');
  process.on('exit', killNow);

  async function start(): Promise<void> {
    if (child !== null) return;
    const address = ['-p', String(port), '-k', folder, '-c', 'listen_addresses=127.0.0.1'];
    const options = ['max_connections=60', 'shared_buffers=64MB', ...settings].flatMap((setting) => ['-c', setting]);
    child = spawn(join(programs ?? '', 'postgres'), ['-D', dataDir, ...address, ...options], {
      ...identity,
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.once('exit', () => {
      child = null;
    });
    await ready(child);
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = child;
    if (ending === null) return;
    const ended = new Promise<void>((resolve) => ending.once('exit', () => resolve()));
    ending.kill(signal);
    // SIGQUIT is its own emergency stop and reaches its children too; SIGKILL would leave them.
    const timer = setTimeout(() => ending.kill('SIGQUIT'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  await start();
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    pid: () => child?.pid ?? null,
    start,
    stop: () => end('SIGINT'),
    stopImmediate: () => end('SIGQUIT'),
    async remove() {
      await end('SIGQUIT');
      process.off('exit', killNow);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Waits for the server to say that it accepts connections, not for time. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    const fail = (why: string) => reject(new Error(`PostgreSQL did not start: ${why}\n${log}`));
    const timer = setTimeout(() => {
      child.kill('SIGQUIT');
      fail(`not ready after ${START_TIMEOUT_MS / 1000} s`);
    }, START_TIMEOUT_MS);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => {
      clearTimeout(timer);
      fail(`ended with code ${code}`);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      // Read on after it is ready: a full pipe would stop the server.
      if (log.length < MAX_LOG_CHARS) log += text;
      if (!text.includes('ready to accept connections')) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The folder that holds them: PATH first, then Debian's, newest version first. Null when there is none. */
function findPrograms(): string | null {
  const debian = '/usr/lib/postgresql';
  let versions: string[] = [];
  try {
    versions = readdirSync(debian).sort((a, b) => Number(b) - Number(a));
  } catch {
    // Not a Debian: PATH has to do.
  }
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...versions.map((version) => join(debian, version, 'bin')),
  ];
  return folders.find((folder) => NEEDED_PROGRAMS.every((program) => isExecutable(join(folder, program)))) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function unprivilegedUser(): { readonly uid: number; readonly gid: number } | null {
  for (const name of ['postgres', 'nobody']) {
    try {
      const idOf = (flag: string) =>
        Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: idOf('-u'), gid: idOf('-g') };
    } catch {
      // No such user: try the next one.
    }
  }
  return null;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('No port is free');
  return address.port;
}
