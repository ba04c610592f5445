import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

const here = fileURLToPath(import.meta.url);
const isSourceRun = here.endsWith('.ts');
const PROGRAM = join(dirname(here), `api-process.${isSourceRun ? 'ts' : 'js'}`);

/** A request as the foreign listener saw it, whole. */
export type ForeignRequest = { readonly method: string; readonly url: string; readonly headers: object };

export type HostileApi = {
  readonly origin: string;
  /** Of the listener that must never hear of the client. */
  readonly foreign: string;
  /** Requests that came to the paths with this `case` in their query. */
  seen(name: string): Promise<number>;
  /** All that ever reached the foreign listener: connections, and requests with everything in them. */
  foreignSeen(): Promise<{ readonly connections: number; readonly requests: readonly ForeignRequest[] }>;
  /** Changes the collection, or how it misbehaves: see `collection.ts`. */
  command<T = unknown>(path: string): Promise<T>;
};

/** Starts the hostile API in a process of its own, which ends with the test, or with this process. */
export async function startHostileApi(t: Test, seed = 1): Promise<HostileApi> {
  const child = spawn(process.execPath, [...(isSourceRun ? ['--import', 'tsx'] : []), PROGRAM, String(seed)], {
    env: { PATH: process.env.PATH ?? '' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    child.stdin.end();
    await ended;
  });
  const started = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended]);
  const { origin, foreign } = JSON.parse(String(started[0]));
  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${origin}/control${path}`);
    if (response.status !== 200) throw new Error(`The hostile API does not know ${path}`);
    return (await response.json()) as T;
  };
  return {
    origin,
    foreign,
    seen: (name) => ask(`/seen?case=${encodeURIComponent(name)}`),
    foreignSeen: () => ask('/foreign'),
    command: ask,
  };
}
