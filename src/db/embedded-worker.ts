import { parentPort, workerData } from 'node:worker_threads';
import { PGlite, types } from '@electric-sql/pglite';
import type { WireError, WireResult, WorkerReply, WorkerRequest, WorkerSettings } from './embedded-protocol.ts';

/**
 * The thread that holds the embedded database. A worker's module is its program, so this one acts when it is loaded, and
 * nothing imports it. Requests are answered in the order in which they come: PGlite has one session.
 */

/** 16 MB halves the memory of PGlite's 128 MB default and is no slower at this size of data. */
const START_PARAMETERS = [
  ...['shared_buffers=16MB', 'TimeZone=UTC', 'application_name=syncline', 'jit=off'].flatMap((setting) => [
    '-c',
    setting,
  ]),
];
const asText = (value: unknown): string => (typeof value === 'string' ? value : String(value));
const unparsed = (value: string): string => value;

/** Makes values look as postgres.js with drizzle gives them, so that callers see one database. */
const PARSERS = {
  [types.INT8]: unparsed,
  [types.TIMESTAMP]: unparsed,
  [types.TIMESTAMPTZ]: unparsed,
  [types.DATE]: unparsed,
  [types.INTERVAL]: unparsed,
  // The library goes byte by byte; a delivery's body is tens of thousands of them.
  [types.BYTEA]: (value: string) => new Uint8Array(Buffer.from(value.slice(2), 'hex')),
};
/** Arrays of timestamps and numerics: postgres.js leaves them as text under drizzle. */
const UNPARSED_ARRAYS = Object.fromEntries([1115, 1182, 1185, 1187, 1231].map((type) => [type, unparsed]));
const SERIALIZERS = {
  [types.TEXT]: asText,
  [types.VARCHAR]: asText,
  [types.BPCHAR]: asText,
  [types.BYTEA]: (value: unknown) => {
    if (value instanceof Uint8Array) {
      return `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`;
    }
    return asText(value);
  },
};

/** PGlite decodes every text by itself, and a decoder drops a byte order mark at the front: an id would lose a character. */
globalThis.TextDecoder = class extends TextDecoder {
  constructor(encoding?: string, options?: ConstructorParameters<typeof TextDecoder>[1]) {
    super(encoding, { ignoreBOM: true, ...options });
  }
};

async function serve(port: NonNullable<typeof parentPort>, settings: WorkerSettings): Promise<void> {
  const reply = (message: WorkerReply) => port.postMessage(message);
  const database = await PGlite.create(settings.dataDir, {
    startParams: [...PGlite.defaultStartParams, ...START_PARAMETERS],
    relaxedDurability: false,
    parsers: PARSERS,
    serializers: SERIALIZERS,
    ...(settings.dump === null ? {} : { loadDataDir: new Blob([new Uint8Array(settings.dump)]) }),
  });
  const version = await database.query<{ version: number }>(
    `SELECT current_setting('server_version_num')::int AS version`,
  );

  async function answer(request: WorkerRequest): Promise<void> {
    switch (request.kind) {
      case 'query':
        return reply({ kind: 'result', id: request.id, result: await query(database, request) });
      case 'exec':
        return reply({ kind: 'result', id: request.id, result: lastOf(await database.exec(request.sql)) });
      case 'dump': {
        const dump = await database.dumpDataDir('none');
        return reply({ kind: 'dump', id: request.id, dump: new Uint8Array(await dump.arrayBuffer()) });
      }
      case 'close':
        await database.close();
        reply({ kind: 'result', id: request.id, result: lastOf([]) });
        return port.close();
    }
  }

  let last: Promise<void> = Promise.resolve();
  port.on('message', (request: WorkerRequest) => {
    last = last
      .then(() => answer(request))
      .catch((error: unknown) => {
        const wire = wireError(error);
        if (wire !== null) return reply({ kind: 'error', id: request.id, error: wire });
        // Not PostgreSQL refusing a statement but the engine itself failing: what it holds in memory cannot be trusted.
        // Named only: what it says may quote the statement.
        reply({ kind: 'fatal', message: error instanceof Error ? error.name : 'unknown' });
        port.close();
      });
  });
  reply({ kind: 'ready', serverVersion: version.rows[0]?.version ?? 0 });
}

async function query(database: PGlite, request: Extract<WorkerRequest, { kind: 'query' }>): Promise<WireResult> {
  return database.query(request.sql, [...request.params], { rowMode: request.rowMode, parsers: UNPARSED_ARRAYS });
}

const lastOf = (results: WireResult[]): WireResult => results.at(-1) ?? { rows: [], fields: [] };

const WIRE_FIELDS = ['code', 'severity', 'detail', 'hint', 'schema', 'table', 'column', 'constraint', 'where'] as const;

/** Null for an error that PostgreSQL did not report. A value that cannot be sent as a parameter is reported as one: 22P02. */
function wireError(error: unknown): WireError | null {
  if (!(error instanceof Error)) return null;
  const fields: { [name: string]: string } = {};
  for (const name of WIRE_FIELDS) {
    const value: unknown = Reflect.get(error, name);
    if (typeof value === 'string') fields[name] = value;
  }
  if (/^[0-9A-Z]{5}$/.test(fields.code ?? '')) return { message: error.message, fields };
  if (error.message.startsWith('Invalid input for')) return { message: error.message, fields: { code: '22P02' } };
  return null;
}

if (parentPort !== null) await serve(parentPort, workerData);
