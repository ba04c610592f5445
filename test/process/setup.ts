import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../src/lib/package-root.ts';
import { until } from '../app/setup.ts';
import { shopEnvironment } from '../app/shop.ts';

const here = fileURLToPath(import.meta.url);
const isSourceRun = here.endsWith('.ts');
const ending = isSourceRun ? 'ts' : 'js';
const START_TIMEOUT_MS = 60_000;

/** A file beside this one, compiled where this one is, source otherwise. */
export const fileOf = (name: string): string => join(dirname(here), `${name}.${ending}`);
/** What node runs such a file with. */
export const programOf = (file: string): readonly string[] => [
  ...(isSourceRun ? ['--conditions=syncline-source', '--import', 'tsx'] : ['--conditions=syncline-compiled']),
  file,
];
/** The program under test. */
export const PROGRAM: readonly string[] = programOf(fileOf('../../src/main'));
export const SHOP_CONFIG = fileOf('server.config');

/** What ends with a test, or with whoever takes its place. */
export type Owner = { teardown(work: () => unknown): unknown };

export type Process = {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly output: () => string;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
};

/** Starts `syncline` with these arguments and nothing of this process's own environment but what node needs. Ends with the test. */
export const startProgram = (
  t: Owner,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  folder?: string,
): Process => startNode(t, [...PROGRAM, ...args], environment, folder);

/** As `startProgram`, of any program. */
export function startNode(
  t: Owner,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  folder: string = packageRoot(),
): Process {
  const child = spawn(process.execPath, [...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (text: string) => {
    output += text;
  };
  child.stdout?.setEncoding('utf8').on('data', keep);
  child.stderr?.setEncoding('utf8').on('data', keep);
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, pid: child.pid ?? 0, output: () => output, ended };
}

export type ServerProcess = Process & {
  readonly address: string;
  readonly port: number;
  /** Ends it at once, as a power cut would. */
  kill(): Promise<void>;
  /** Asks it to stop. @returns how it ended and how long that took. */
  stop(): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly tookMs: number }>;
};

export type ServerProcessOptions = {
  readonly databaseUrl?: string;
  readonly apiUrl?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly folder?: string;
};

/** Starts a server process and waits until it says that it is ready. */
export async function startServerProcess(t: Owner, options: ServerProcessOptions): Promise<ServerProcess> {
  const started = startProgram(
    t,
    ['serve'],
    {
      ...shopEnvironment(options.apiUrl ?? 'http://127.0.0.1:9'),
      ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
      SYNCLINE_CONFIG: SHOP_CONFIG,
      PORT: '0',
      ...options.environment,
    },
    options.folder,
  );
  let hasEnded = false;
  void started.ended.then(() => {
    hasEnded = true;
  });
  const ready = () => /"address":"(http[^"]+)"[^\n]*"msg":"ready"/.exec(started.output())?.[1];
  await until(
    `the server starts:\n${started.output()}`,
    () => {
      if (hasEnded) throw new Error(`The server ended:\n${started.output()}`);
      return ready() !== undefined;
    },
    START_TIMEOUT_MS / 10,
  );
  const address = ready() ?? '';
  return {
    ...started,
    address,
    port: Number(new URL(address).port),
    async kill() {
      started.child.kill('SIGKILL');
      await started.ended;
    },
    async stop() {
      const from = performance.now();
      started.child.kill('SIGTERM');
      return { ...(await started.ended), tookMs: performance.now() - from };
    },
  };
}

if (!existsSync(SHOP_CONFIG)) throw new Error(`${SHOP_CONFIG} is missing`);
