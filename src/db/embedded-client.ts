import { Worker } from 'node:worker_threads';
import type { WireError, WireResult, WorkerReply, WorkerRequest, WorkerSettings } from './embedded-protocol.ts';
import { DatabaseError } from './errors.ts';
import { withoutValues } from './failure.ts';
import { type Queries, type QueryResult, runTransaction, type SqlClient } from './session.ts';

/** More statements than this waiting means that the database has stopped answering in useful time. */
const MAX_PENDING = 20_000;
const START_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 3_000;
/** bytea and bytea[]. */
const BYTE_TYPES: readonly number[] = [17, 1001];

export type EmbeddedClient = SqlClient & {
  readonly serverVersion: number;
  /** An uncompressed tar of the database's files. */
  dump(): Promise<Uint8Array>;
  /** Statements sent or waiting. */
  pendingCount(): number;
  /** Ends the thread at once, as a crash would. */
  abort(): void;
  close(): Promise<void>;
};

type Waiting = { resolve(reply: WorkerReply): void; reject(error: Error): void };
type RequestBody = WorkerRequest extends infer R ? (R extends WorkerRequest ? Omit<R, 'id'> : never) : never;

/**
 * Starts the embedded database in a thread of its own and speaks with it. Statements run in the order in which they are
 * made, one at a time, and a transaction has the session to itself; up to `MAX_PENDING` wait. When the thread dies, every open and later call rejects with `crashed`.
 */
export async function openEmbeddedClient(settings: WorkerSettings): Promise<EmbeddedClient> {
  const waiting = new Map<number, Waiting>();
  /** Work that waits for the transaction in progress. */
  const lane: (() => void)[] = [];
  let isTaken = false;
  let nextId = 1;
  let broken: DatabaseError | null = null;
  let closing: Promise<void> | null = null;

  const worker = new Worker(workerUrl(), { workerData: settings, name: 'syncline-database', ...loaders() });
  const breakDown = (error: DatabaseError) => {
    broken ??= closing === null ? error : new DatabaseError('closed', 'The embedded database is closed');
    for (const { reject } of waiting.values()) reject(broken);
    waiting.clear();
    for (const start of lane.splice(0)) start();
    isTaken = false;
  };
  const serverVersion = await started(worker, breakDown);

  worker.on('message', (reply: WorkerReply) => {
    if (reply.kind === 'ready') return;
    if (reply.kind === 'fatal') {
      breakDown(crashed(reply.message));
      void worker.terminate();
      return;
    }
    const waiter = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (reply.kind === 'error') waiter?.reject(withoutValues(databaseError(reply.error)));
    else waiter?.resolve(reply);
  });

  /** Sends at once: the thread answers in order, so nothing is gained by waiting for the statement before. */
  function send(request: RequestBody, transfer: ArrayBuffer[] = []): Promise<WorkerReply> {
    if (broken !== null) return Promise.reject(broken);
    const id = nextId;
    nextId += 1;
    return new Promise((resolve, reject) => {
      try {
        // First, since it throws on a parameter that cannot be cloned, and quotes it.
        worker.postMessage({ ...request, id }, transfer);
        waiting.set(id, { resolve, reject });
      } catch (error) {
        reject(withoutValues(error));
      }
    });
  }

  async function run(request: RequestBody, transfer?: ArrayBuffer[]): Promise<QueryResult> {
    const reply = await send(request, transfer);
    return reply.kind === 'result' ? withBuffers(reply.result) : { rows: [] };
  }

  const queries: Queries = {
    query(sql, params = [], options = {}) {
      const transfer: ArrayBuffer[] = [];
      const body = {
        kind: 'query' as const,
        sql,
        params: sendable(params, transfer),
        rowMode: options.rowMode ?? 'object',
      };
      return run(body, transfer);
    },
    exec: (sql) => run({ kind: 'exec', sql }),
  };

  /** Runs `work` when no transaction holds the session; with `isHolding` it then holds it until `work` settles. */
  function inTurn<T>(isHolding: boolean, work: () => Promise<T>): Promise<T> {
    if (broken !== null) return Promise.reject(broken);
    if (waiting.size + lane.length >= MAX_PENDING) {
      return Promise.reject(new DatabaseError('busy', `The embedded database has ${MAX_PENDING} statements waiting`));
    }
    return new Promise<T>((resolve, reject) => {
      const start = () => {
        if (isHolding) isTaken = true;
        const settled = work();
        settled.then(resolve, reject);
        if (isHolding) settled.then(release, release);
      };
      if (isTaken) lane.push(start);
      else start();
    });
  }

  function release(): void {
    isTaken = false;
    while (!isTaken) {
      const start = lane.shift();
      if (start === undefined) return;
      start();
    }
  }

  async function endWorker(): Promise<void> {
    if (broken !== null) {
      await worker.terminate();
      return;
    }
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const timer = setTimeout(() => worker.terminate(), CLOSE_TIMEOUT_MS);
    // Behind a transaction in progress; where that one hangs, the timer ends it all.
    inTurn(false, () => run({ kind: 'close' })).catch(() => worker.terminate());
    await ended;
    clearTimeout(timer);
  }

  return {
    serverVersion,
    query: (sql, params, options) => inTurn(false, () => queries.query(sql, params, options)),
    exec: (sql) => inTurn(false, () => queries.exec(sql)),
    transaction: (work) => inTurn(true, () => runTransaction(queries, work)),
    async dump() {
      const reply = await inTurn(false, () => send({ kind: 'dump' }));
      return reply.kind === 'dump' ? reply.dump : new Uint8Array();
    },
    pendingCount: () => waiting.size + lane.length,
    abort: () => void worker.terminate(),
    close() {
      closing ??= endWorker();
      return closing;
    },
  };
}

const isSource = import.meta.url.endsWith('.ts');

/** What the process was started with may help to load our source. Compiled, the thread needs none of it, and starts sooner. */
const loaders = (): { execArgv?: string[] } => (isSource ? {} : { execArgv: [] });

/**
 * The program beside this file: compiled, or as source. tsx does not reach into threads, so where Node cannot read
 * TypeScript by itself a line of JavaScript loads it first.
 */
function workerUrl(): URL {
  if (!isSource) return new URL('./embedded-worker.js', import.meta.url);
  const source = new URL('./embedded-worker.ts', import.meta.url);
  if ('typescript' in process.features && process.features.typescript) return source;
  const loader = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const program = `import { register } from ${loader}; register(); await import(${JSON.stringify(source.href)});`;
  return new URL(`data:text/javascript,${encodeURIComponent(program)}`);
}

/** Settles when the database is ready or cannot start; from then on the thread's end is reported to `onEnd`. */
function started(worker: Worker, onEnd: (error: DatabaseError) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (error: DatabaseError) => {
      clearTimeout(timer);
      reject(error);
      onEnd(error);
    };
    const timer = setTimeout(() => {
      fail(crashed(`not ready after ${START_TIMEOUT_MS / 1000} s`));
      void worker.terminate();
    }, START_TIMEOUT_MS);
    worker.once('message', (reply: WorkerReply) => {
      clearTimeout(timer);
      if (reply.kind === 'ready') resolve(reply.serverVersion);
    });
    worker.on('error', (cause) => fail(crashed(cause.message, cause)));
    worker.on('exit', () => fail(crashed('its thread ended')));
  });
}

const crashed = (reason: string, cause?: unknown) =>
  new DatabaseError('crashed', `The embedded database stopped (${reason}): start this process again`, { cause });

/** Bytes travel without a second copy; a Buffer cut from Node's shared pool must not take the whole pool along. */
function sendable(params: readonly unknown[], transfer: ArrayBuffer[]): unknown[] {
  return params.map((param) => {
    if (!(param instanceof Uint8Array)) return param;
    const copy = new Uint8Array(param);
    transfer.push(copy.buffer);
    return copy;
  });
}

/** Bytes become Buffers, as the other driver gives them. */
function withBuffers(result: WireResult): QueryResult {
  const byteColumns = result.fields.flatMap((field, index) =>
    BYTE_TYPES.includes(field.dataTypeID) ? [{ index, name: field.name }] : [],
  );
  if (byteColumns.length === 0) return result;
  for (const row of result.rows) {
    for (const { index, name } of byteColumns) {
      if (Array.isArray(row)) row[index] = asBuffer(row[index]);
      else if (typeof row === 'object' && row !== null) Reflect.set(row, name, asBuffer(Reflect.get(row, name)));
    }
  }
  return result;
}

function asBuffer(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asBuffer);
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value;
}

/** An Error that carries PostgreSQL's fields, `code` above all, as the drivers' own do. */
const databaseError = (wire: WireError): Error => Object.assign(new Error(wire.message), wire.fields);
