import type { Test } from 'tap';
import type { Log, LogFields } from '../../src/lib/log.ts';
import type { Environment } from '../../src/lib/setting.ts';
import { instantFromMs } from '../../src/model/instant.ts';
import type { Authenticator } from '../../src/source/auth/authenticator.ts';
import type { BreakerChange } from '../../src/source/breaker.ts';
import { createSourceClient, type Page, type SourceClient } from '../../src/source/client.ts';
import type { ListDefinition, SourceDefinition } from '../../src/source/definition.ts';
import { SourceError } from '../../src/source/error.ts';
import { none } from '../../src/source/pagination/none.ts';
import { createMemoryLedger } from '../../src/source/rate-limit/ledger.ts';
import { resolveSource } from '../../src/source/resolve.ts';
import { type Answerer, type FakeApi, startFakeApi } from '../helpers/fake-api.ts';

export const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

export type LogLine = { readonly level: string; readonly fields: LogFields; readonly message: string };

export type Setup = {
  readonly api: FakeApi;
  readonly client: SourceClient;
  /** Every wait, in ms. The clock moved on by each. */
  readonly slept: readonly number[];
  readonly lines: readonly LogLine[];
  readonly clock: { nowMs: number };
  readonly breakerChanges: readonly BreakerChange[];
};

type SetupOptions = {
  readonly source?: Partial<SourceDefinition>;
  readonly environment?: Environment;
  /** Put behind the fake API's origin. */
  readonly basePath?: string;
  /** Instead of moving the clock on at once. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Half the jitter's range when left out. */
  readonly random?: () => number;
  /** Instead of the source's own. */
  readonly auth?: Authenticator;
};

/** A client on a fake API, with a clock that only moves by the client's waits. */
export async function setup(t: Test, answer: Answerer, options: SetupOptions = {}): Promise<Setup> {
  const api = await startFakeApi(t, answer);
  const slept: number[] = [];
  const lines: LogLine[] = [];
  const breakerChanges: BreakerChange[] = [];
  const clock = { nowMs: START_MS };
  const source = mustResolve(
    { baseUrl: `${api.origin}${options.basePath ?? ''}`, ...options.source },
    options.environment ?? {},
  );
  const { auth } = options;
  const client = createSourceClient(auth === undefined ? source : { ...source, auth: () => auth }, {
    now: async () => instantFromMs(clock.nowMs),
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.nowMs,
    random: options.random ?? (() => 0.5),
    sleep: async (ms, signal) => {
      slept.push(ms);
      if (options.sleep !== undefined) return options.sleep(ms, signal);
      clock.nowMs += ms;
    },
    ledger: createMemoryLedger(() => clock.nowMs),
    onBreaker: (change) => void breakerChanges.push(change),
    log: collectLog(lines),
  });
  t.teardown(() => client.close());
  return { api, client, slept, lines, clock, breakerChanges };
}

export function mustResolve(definition: SourceDefinition, environment: Environment = {}) {
  const result = resolveSource('shop', definition, environment);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.source;
}

export const collectLog = (lines: LogLine[]): Log => {
  const at = (level: string) => (fields: LogFields, message: string) => {
    lines.push({ level, fields, message });
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
};

/** A list whose answer is the array itself, in one page. */
export const plainList: ListDefinition = { path: '/things', items: '', pagination: none() };

export const never = (): AbortSignal => new AbortController().signal;

export async function readAll(
  client: SourceClient,
  list: ListDefinition,
  options: Partial<Parameters<SourceClient['listPages']>[1]> = {},
): Promise<Page[]> {
  const pages: Page[] = [];
  for await (const page of client.listPages(list, { signal: never(), ...options })) pages.push(page);
  return pages;
}

/** The `SourceError` that something ends with; fails the test when it ends otherwise. */
export async function failure(attempt: Promise<unknown>): Promise<SourceError> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof SourceError) return error;
    throw error;
  }
  throw new Error('expected a SourceError, but nothing was thrown');
}
