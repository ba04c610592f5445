import { createConnection, type Socket } from 'node:net';
import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import { arrayText, parseArrayText } from './array-text.ts';
import type { ConnectOptions, Database } from './connect.ts';
import { DatabaseError } from './errors.ts';
import { sqlState } from './failure.ts';
import type { Db } from './query.ts';
import * as schema from './schema.ts';

const DEFAULT_POOL_SIZE = 10;
const DEFAULT_INGEST_POOL_SIZE = 3;
const CONNECT_TIMEOUT_S = 5;
const STATEMENT_TIMEOUT_MS = 30_000;
/**
 * A connection on which nothing moves for this long is destroyed. Longer than any statement may take, so it only hits
 * idle ones (they are opened again when needed) and those whose server has vanished without a word.
 */
const SILENCE_TIMEOUT_MS = 45_000;
const CLOSE_TIMEOUT_S = 5;
const MIN_SERVER_VERSION = 140_000;
const EXCLUSIVE_WAIT_MS = 120_000;
const EXCLUSIVE_RETRY_MS = 250;

/** Millisecond values, as PostgreSQL reads a bare number. */
const SESSION_SETTINGS = {
  application_name: 'syncline',
  TimeZone: 'UTC',
  lock_timeout: '300',
  statement_timeout: String(STATEMENT_TIMEOUT_MS),
  idle_in_transaction_session_timeout: '30000',
} as const;

type Client = postgres.Sql;
type PostgresOptions = ConnectOptions & { readonly url: string };

/** Opens two pools (general, ingest) on a PostgreSQL server of version 14 or later. */
export async function connectPostgres(options: PostgresOptions): Promise<Database> {
  const client = openClient(options.url, options.poolSize ?? DEFAULT_POOL_SIZE, SESSION_SETTINGS);
  const ingestClient = openClient(options.url, options.ingestPoolSize ?? DEFAULT_INGEST_POOL_SIZE, SESSION_SETTINGS);
  const endAll = async () => {
    await Promise.all([client.end({ timeout: CLOSE_TIMEOUT_S }), ingestClient.end({ timeout: CLOSE_TIMEOUT_S })]);
  };
  let serverVersion: number;
  try {
    serverVersion = await readServerVersion(client);
  } catch (error) {
    await endAll();
    throw error;
  }
  let closing: Promise<void> | null = null;
  return {
    kind: 'postgres',
    db: drizzle({ client, schema }),
    ingestDb: drizzle({ client: ingestClient, schema }),
    serverVersion,
    exclusively: (name, work) => exclusively(options.url, name, work),
    close() {
      closing ??= endAll();
      return closing;
    },
  };
}

const asIs = (element: string): unknown => element;
/** Array types of PostgreSQL itself, and how an element is read: as the same type outside of an array is. */
const ARRAY_TYPES: readonly (readonly [type: number, parseElement: (element: string) => unknown])[] = [
  [1000, (element) => element === 't'], // bool
  [1001, (element) => Buffer.from(element.slice(2), 'hex')], // bytea
  [1005, Number], // int2
  [1007, Number], // int4
  [1009, asIs], // text
  [1015, asIs], // varchar
  [1016, asIs], // int8
  [1021, Number], // float4
  [1022, Number], // float8
  [2951, asIs], // uuid
  [3807, (element) => JSON.parse(element)], // jsonb
];

function openClient(url: string, max: number, settings: { readonly [name: string]: string }): Client {
  // postgres.js hands `socket` its own parsed options; the published types know no such option on the way in.
  const socketOption = { socket: (parsed: ParsedAddress) => connectSocket(parsed, 'statement_timeout' in settings) };
  let client: Client;
  try {
    client = postgres(url, {
      max,
      connect_timeout: CONNECT_TIMEOUT_S,
      idle_timeout: 0,
      // Connections are renewed at times, but not one that holds a lock.
      ...('statement_timeout' in settings ? {} : { max_lifetime: null }),
      // Reconnect quickly after a restart: the waits between attempts grow to half a second, not to postgres.js's 20 s.
      backoff: (retries: number) => Math.min(0.02 * 2 ** Math.min(retries, 10), 0.5),
      onnotice: () => {},
      connection: { ...settings },
      ...socketOption,
    });
  } catch (cause) {
    throw new DatabaseError(
      'invalid_url',
      'DATABASE_URL is no address of a database: expected postgres://user:password@host:port/name',
      { cause },
    );
  }
  for (const [type, parseElement] of ARRAY_TYPES) {
    client.options.parsers[type] = (text: string) => parseArrayText(text, parseElement);
    client.options.serializers[type] = (value: unknown) => (Array.isArray(value) ? arrayText(value) : value);
  }
  return client;
}

type ParsedAddress = {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path: string | false;
};

/** Connects at once and lets the driver write before the connection stands; its connect_timeout bounds that. */
function connectSocket(parsed: ParsedAddress, isSilenceBounded: boolean): Socket {
  const [host, port] = [parsed.host[0] ?? 'localhost', parsed.port[0] ?? 5432];
  const socket = parsed.path ? createConnection(parsed.path) : createConnection({ host, port });
  socket.setNoDelay(true);
  // The driver reads the host from here for TLS server names and for messages.
  Object.assign(socket, { host, port });
  if (isSilenceBounded) socket.setTimeout(SILENCE_TIMEOUT_MS, () => socket.destroy());
  return socket;
}

async function readServerVersion(client: Client): Promise<number> {
  let version: number;
  try {
    const [row] = await client<{ version: number }[]>`SELECT current_setting('server_version_num')::int AS version`;
    version = row?.version ?? 0;
  } catch (cause) {
    const state = sqlState(cause);
    throw new DatabaseError(
      'unreachable',
      `The database in DATABASE_URL does not answer${state === null ? '' : ` (SQLSTATE ${state})`}: check that the server runs, and the host, port, user, password and database name`,
      { cause },
    );
  }
  if (version < MIN_SERVER_VERSION) {
    throw new DatabaseError(
      'unsupported_version',
      `PostgreSQL ${Math.floor(version / 10_000)} is too old: Syncline needs 14 or later. Upgrade the server, or unset DATABASE_URL to use the embedded database`,
    );
  }
  return version;
}

/** A session-level advisory lock on a connection of its own: it ends with the connection, so a crash leaves nothing behind. */
async function exclusively<T>(url: string, name: string, work: (db: Db) => Promise<T>): Promise<T> {
  const { statement_timeout: _, idle_in_transaction_session_timeout: __, ...settings } = SESSION_SETTINGS;
  const client = openClient(url, 1, { ...settings, lock_timeout: '10000' });
  try {
    await waitForLock(client, name);
    return await work(drizzle({ client, schema }));
  } finally {
    await client.end({ timeout: CLOSE_TIMEOUT_S });
  }
}

async function waitForLock(client: Client, name: string): Promise<void> {
  const attempts = EXCLUSIVE_WAIT_MS / EXCLUSIVE_RETRY_MS;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const [row] = await client<
      { locked: boolean }[]
    >`SELECT pg_try_advisory_lock(hashtextextended(${`syncline:${name}`}, 0)) AS locked`;
    if (row?.locked === true) return;
    await new Promise((resolve) => setTimeout(resolve, EXCLUSIVE_RETRY_MS));
  }
  throw new DatabaseError(
    'migration_busy',
    `Another process has been migrating this database for more than ${EXCLUSIVE_WAIT_MS / 1000} s: wait for it, or stop it`,
  );
}
