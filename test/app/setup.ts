import { get } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { pino } from 'pino';
import type { Test } from 'tap';
import { type App, createApp } from '../../src/app.ts';
import { assembleIntegration } from '../../src/assemble.ts';
import { readSettings, type ServerSettings } from '../../src/config/environment.ts';
import type { Database, Db } from '../../src/db/connect.ts';
import { readDatabaseNow } from '../../src/db/instants.ts';
import { queryRows } from '../../src/db/query.ts';
import type { IntegrationDefinition } from '../../src/define/definition.ts';
import { createSourceClient } from '../../src/source/client.ts';
import { createMemoryLedger } from '../../src/source/rate-limit/ledger.ts';
import { resolveSource } from '../../src/source/resolve.ts';
import { registerStream } from '../../src/store/streams.ts';
import { alignCaptures } from '../../src/sync/capture.ts';
import type { CrashPoint } from '../../src/sync/deps.ts';
import { createTestDatabase } from '../helpers/database.ts';
import { CREATE_CUSTOMERS, shopDefinition, shopEnvironment } from './shop.ts';

const WAIT_ROUND_MS = 10;
const WAIT_ROUNDS = 3_000;

export type TestAppOptions = {
  readonly definitions?: readonly IntegrationDefinition[];
  readonly apiUrl?: string;
  /** SQL that makes further tables. */
  readonly tables?: string;
  readonly settings?: Partial<ServerSettings>;
  readonly nowMs?: () => number;
  readonly crashPoint?: (name: CrashPoint) => Promise<void> | void;
  /** Stands between the app and the database. */
  readonly wrapDatabase?: (database: Database) => Database;
};

export type TestApp = {
  readonly app: App;
  readonly address: string;
  readonly port: number;
  readonly db: Db;
  /** Everything that was logged, at the most talkative level. */
  readonly logged: () => string;
  post(path: string, body: string | Buffer, headers?: Record<string, string>): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  sql<T extends Record<string, unknown>>(text: string): Promise<T[]>;
};

/** A whole app on a database of its own, listening on a free port of this machine. Full runs start only when asked for. */
export async function startTestApp(t: Test, options: TestAppOptions = {}): Promise<TestApp> {
  const { database: real, db } = await createTestDatabase(t);
  const database = options.wrapDatabase?.(real) ?? real;
  await db.execute(sql.raw(CREATE_CUSTOMERS));
  if (options.tables !== undefined) await db.execute(sql.raw(options.tables));
  const lines: string[] = [];
  const log = pino({ level: 'trace', base: null }, { write: (line: string) => void lines.push(line) });
  const environment = shopEnvironment(options.apiUrl ?? 'http://127.0.0.1:9');
  const read = readSettings({ PORT: '0', SYNCLINE_ROLE: 'ingest,worker' });
  if (!read.ok) throw new Error('The settings do not read');
  const integrations = (options.definitions ?? [shopDefinition]).map((definition) =>
    assembleIntegration(definition, {
      environment,
      publicUrl: null,
      lookups: { isPaused: async () => false, nowMs: Date.now, sleep: async () => {}, log },
      clientOf: ({ name, source }) => {
        const resolved = resolveSource(name, source, environment);
        if (!resolved.ok) throw new Error('The source does not resolve');
        const client = createSourceClient(resolved.source, {
          now: () => readDatabaseNow(db),
          nowMs: Date.now,
          random: Math.random,
          sleep: (ms, signal) => wait(ms, undefined, { signal }),
          ledger: createMemoryLedger(Date.now),
          onBreaker: () => {},
          log,
        });
        t.teardown(() => client.close());
        return client;
      },
    }),
  );
  const streams = integrations.flatMap((integration) => [...integration.streams.values()]);
  for (const { key, mapper } of streams) await registerStream(db, key, mapper.fingerprint);
  const twoWay = streams.filter((stream) => stream.twoWay !== null);
  const problems = await alignCaptures({ database: real, log, sleep: async () => {} }, twoWay);
  if (problems.length > 0) throw new Error('Edits of a two-way table cannot be captured');
  const app = await createApp({
    settings: { ...read.settings, ...options.settings },
    database,
    integrations: new Map(integrations.map((integration) => [integration.name, integration])),
    schedules: new Map(),
    log,
    version: '0.0.0-test',
    nowMs: options.nowMs ?? Date.now,
    random: Math.random,
    ...(options.crashPoint === undefined ? {} : { crashPoint: options.crashPoint }),
  });
  t.teardown(() => app.stop());
  const address = await app.start();
  return {
    app,
    address,
    port: Number(new URL(address).port),
    db,
    logged: () => lines.join(''),
    post: (path, body, headers = { 'content-type': 'application/json' }) =>
      fetch(address + path, { method: 'POST', body, headers }),
    get: (path, headers = {}) => fetch(address + path, { headers }),
    sql: (text) => queryRows(db, sql.raw(text)),
  };
}

/** As `fetch`, which would take `..` out of a path first. */
export function getAsIs(app: TestApp, path: string): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: app.port, path, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.once('end', () => resolve({ status: response.statusCode, body }));
    }).once('error', reject);
  });
}

/** Waits for something to become true, and says what it was when it does not. */
export async function until(what: string, isTrue: () => Promise<boolean> | boolean, rounds = WAIT_ROUNDS) {
  for (let round = 0; round < rounds; round++) {
    if (await isTrue()) return;
    await wait(WAIT_ROUND_MS);
  }
  throw new Error(`It did not come to pass: ${what}`);
}

/** Until everything that was accepted is worked off. */
export const settled = (app: TestApp): Promise<void> =>
  until('the inbox and the reads are worked off', async () => {
    const [row] = await app.sql<{ left: number }>(
      `SELECT (SELECT count(*)::int FROM sync.inbox_deliveries WHERE state = 'received')
            + (SELECT count(*)::int FROM sync.hints) AS left`,
    );
    return row?.left === 0;
  });

export type ProblemDocument = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly [member: string]: unknown;
};

/** Checks that an answer is a problem document of this status, and gives its content. */
export async function expectProblem(t: Test, response: Response, status: number): Promise<ProblemDocument> {
  t.equal(response.status, status);
  t.match(response.headers.get('content-type'), /^application\/problem\+json/);
  const text = await response.text();
  const problem = JSON.parse(text);
  t.match(problem, { type: /^urn:syncline:problem:[a-z-]+$/, title: String, status });
  t.notMatch(text, /SELECT|INSERT|at \S+ \(|node_modules|Error:/, 'neither SQL nor a stack');
  return problem;
}
