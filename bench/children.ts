import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadOrder, LoadReport } from './load-process.ts';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const ANSWER_TIMEOUT_MS = 120_000;

export type Child = {
  readonly address: string;
  /** From the program's first line to its readiness; starting Node and reading TypeScript are not in it. */
  readonly startMs: number;
  /** Highest resident memory so far; null where the system does not tell (`/proc`). */
  peakRssMb(): number | null;
  ask(message: unknown): Promise<unknown>;
  /** Ends it, in good order where it can. Safe to repeat. */
  stop(): Promise<void>;
};

export type ChildOptions = {
  readonly environment?: Readonly<Record<string, string>>;
  readonly arguments?: readonly string[];
  /** Folder for a CPU profile, written when the program ends. */
  readonly profileDir?: string | undefined;
};

/** Starts a program of this folder in a process of its own, which also ends when this one does. */
export async function startChild(program: string, options: ChildOptions = {}): Promise<Child> {
  const profile = options.profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileDir}`];
  const child = fork(join(import.meta.dirname, program), [...(options.arguments ?? [])], {
    execArgv: ['--conditions=syncline-source', '--import', 'tsx', ...profile],
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ready = await nextMessage(child, START_TIMEOUT_MS);
  let stopped: Promise<void> | null = null;
  return {
    address: String(Reflect.get(ready, 'address')),
    startMs: Number(Reflect.get(ready, 'startMs')),
    peakRssMb: () => readPeakRssMb(child.pid ?? 0),
    async ask(message) {
      const answer = nextMessage(child, ANSWER_TIMEOUT_MS);
      child.send(message as Parameters<ChildProcess['send']>[0]);
      return await answer;
    },
    stop() {
      stopped ??= endChild(child);
      return stopped;
    },
  };
}

/** Sends deliveries through a load process that is running already. */
export async function sendLoad(load: Child, order: LoadOrder): Promise<LoadReport> {
  const report = await load.ask(order);
  const error: unknown = Reflect.get(Object(report), 'error');
  if (error !== undefined) throw new Error(`load generator: ${String(error)}`);
  return report as LoadReport;
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  if (child.connected) child.send('stop');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

function nextMessage(child: ChildProcess, timeoutMs: number): Promise<object> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
    };
    const onMessage = (message: unknown) => {
      settle();
      resolve(Object(message));
    };
    const onExit = (code: number | null) => {
      settle();
      reject(new Error(`${child.spawnfile}: ended with code ${code}`));
    };
    const timer = setTimeout(() => {
      settle();
      child.kill('SIGKILL');
      reject(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    child.on('message', onMessage);
    child.on('exit', onExit);
  });
}

function readPeakRssMb(pid: number): number | null {
  try {
    const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return line === null ? null : Number(line[1]) / 1024;
  } catch {
    return null;
  }
}
