import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import type { IntegrationDefinition } from '../define/definition.ts';
import { createTableSql } from '../define/table-sql.ts';
import { type RunningServer, startServer } from '../server.ts';
import type { Stream } from '../sync/stream.ts';
import { HELD_BY_CONFLICT } from './check-sql.ts';
import { redirectedTo, type StandIn } from './stand-in.ts';

export type RunReport = { readonly entity: string; readonly state: string; readonly error: string | null };

/** An integration at work between a stand-in and an embedded database of its own. */
export type World = {
  readonly standIn: StandIn;
  readonly db: Db;
  /** By entity. */
  readonly streams: ReadonlyMap<string, Stream>;
  readonly address: string;
  /** Runs of all entities, to their end. */
  reconcile(mode: 'full' | 'incremental'): Promise<readonly RunReport[]>;
  /** Until no delivery, read, run or push is left. @returns what was left after `maxMs`, in words; null when nothing was. */
  settle(maxMs: number): Promise<string | null>;
  query(statement: string): Promise<readonly Record<string, unknown>[]>;
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<CallAnswer>;
  close(): Promise<void>;
};

export type CallAnswer = { readonly status: number; readonly body: unknown };

const FIRST_POLL_MS = 20;
const MAX_POLL_MS = 160;
const BUSY_MS = 50;
/** A scheduled run may stand in the way of ours; there is no schedule here, so this is a bound and no wait. */
const MAX_RUN_TRIES = 20;

export async function openWorld(
  definition: IntegrationDefinition,
  { standIn, migrations }: { readonly standIn: StandIn; readonly migrations: string | URL | undefined },
): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'syncline-check-'));
  const port = await standIn.source.start();
  const removeAll = async () => {
    await standIn.source.close();
    await rm(folder, { recursive: true, force: true });
  };
  let server: RunningServer;
  try {
    server = await startServer({
      environment: { PORT: '0', SYNCLINE_DATA_DIR: 'memory://', LOG_LEVEL: 'silent' },
      workingFolder: process.cwd(),
      definition: {
        integrations: [redirectedTo(definition, port)],
        migrations: migrations ?? (await writeMigrations(definition, folder)),
      },
    });
  } catch (error) {
    await removeAll();
    throw error;
  }
  const { name } = definition;
  const { db } = server.database;
  const query = async (statement: string) => rowsOf(await db.execute(statement));
  const call: World['call'] = async (method, path, body, headers = {}) => {
    const response = await fetch(`${server.address}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? null : JSON.parse(text) };
  };

  return {
    standIn,
    db,
    streams: server.integrations.get(name)?.streams ?? new Map(),
    address: server.address,
    query,
    call,
    async reconcile(mode) {
      for (let left = MAX_RUN_TRIES; ; left--) {
        const answer = await call('POST', '/sync/reconcile?wait=true', { integration: name, mode });
        if (answer.status < 300) return runsOf(answer.body);
        if (answer.status !== 409 || left === 0) throw new Error(`POST /sync/reconcile: answered ${answer.status}`);
        await wait(BUSY_MS);
      }
    },
    async settle(maxMs) {
      let pollMs = FIRST_POLL_MS;
      for (let waitedMs = 0; ; waitedMs += pollMs) {
        const left = await query(LEFT);
        if (left.length === 0) return null;
        if (waitedMs >= maxMs) return left.map((row) => `${row.count} × ${row.what}`).join(', ');
        pollMs = Math.min(MAX_POLL_MS, pollMs * 2);
        await wait(pollMs);
      }
    },
    async close() {
      await server.stop();
      await removeAll();
    },
  };
}

const LEFT = `
  SELECT * FROM (
    SELECT 'delivery that waits' AS what, count(*)::int AS count FROM sync.inbox_deliveries WHERE state = 'received'
    UNION ALL SELECT 'read that waits', count(*)::int FROM sync.hints
    UNION ALL SELECT 'run under way', count(*)::int FROM sync.sync_runs WHERE state IN ('queued', 'running')
    UNION ALL SELECT 'edit that waits', count(*)::int FROM sync.local_changes
    UNION ALL SELECT 'push ' || state, count(*)::int FROM sync.outbox_pushes AS w
      WHERE state IN ('ready', 'calling', 'unknown') AND NOT ${HELD_BY_CONFLICT} GROUP BY state
  ) AS work WHERE count > 0`;

const rowsOf = (result: unknown): readonly Record<string, unknown>[] => {
  const rows: unknown = Array.isArray(result) ? result : Object(result).rows;
  return Array.isArray(rows) ? rows : [];
};

function runsOf(body: unknown): RunReport[] {
  const runs: unknown = Object(body).runs;
  return (Array.isArray(runs) ? runs : []).map((run) => ({
    entity: String(run.entity),
    state: String(run.state),
    error: run.error === null ? null : `${run.error.code}: ${run.error.message}`,
  }));
}

/** A folder of migrations that makes the target tables, from their definitions. */
async function writeMigrations({ entities }: IntegrationDefinition, folder: string): Promise<string> {
  const tables = new Set(Object.values(entities).map(({ target }) => target));
  const statements = [...tables].flatMap(createTableSql);
  await mkdir(join(folder, 'meta'));
  const entry = { idx: 0, version: '7', when: 1, tag: '0000_tables', breakpoints: true };
  const journal = { version: '7', dialect: 'postgresql', entries: [entry] };
  await writeFile(join(folder, 'meta', '_journal.json'), JSON.stringify(journal));
  await writeFile(join(folder, '0000_tables.sql'), statements.join(';\n--> statement-breakpoint\n'));
  return folder;
}
