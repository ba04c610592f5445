import { createConnection, type Socket } from 'node:net';
import postgres from 'postgres';
import { arrayText, parseArrayText } from './array-text.ts';
import { DatabaseError } from './errors.ts';
import { isConnectionError, withoutValues } from './failure.ts';
import type { Queries, QueryResult, RowMode } from './session.ts';

const CONNECT_TIMEOUT_S = 5;
const FAREWELL_MS = 1_000;

/**
 * One connection to a PostgreSQL server, used until it is lost and then thrown away.
 *
 * postgres.js speaks the protocol, but its own pool and `begin` are not used: in 3.4.9 a transaction whose server goes away
 * makes it write to a socket that is gone (an exception nobody can catch), a later transaction on the same connection can
 * receive the lost one's COMMIT, and some connections never come back (its issues 1208, 1216 and pull request 1215). A client
 * that has one connection, connects once and is never used again after any failure cannot get there.
 */
export type PostgresSession = Queries & {
  isLost(): boolean;
  /** Milliseconds, by the clock given, since when it is open. */
  readonly openedAtMs: number;
  /** Ends it now; a statement that is running is rejected. Safe to repeat. */
  end(): void;
};

export type SessionOptions = {
  readonly url: string;
  /** PostgreSQL's own settings for the session. */
  readonly settings: { readonly [name: string]: string };
  /** A statement without an answer after this long takes the connection for dead. Longer than `statement_timeout`. Null: never. */
  readonly silenceMs: number | null;
  readonly nowMs: () => number;
  onLost(): void;
};

/** Connects with the first statement. */
export function openPostgresSession(options: SessionOptions): PostgresSession {
  let isLost = false;
  const lose = () => {
    if (isLost) return;
    isLost = true;
    options.onLost();
    void client.end({ timeout: 0 });
    // The farewell above needs a moment; a server that is gone would let the socket live for minutes.
    setTimeout(() => socket?.destroy(), FAREWELL_MS).unref();
  };
  let socket: Socket | null = null;
  const client = createClient(options, {
    onClose: lose,
    onSocket: (opened) => {
      socket = opened;
    },
  });

  async function run(sql: string, params: readonly unknown[], rowMode: RowMode): Promise<QueryResult> {
    if (isLost) throw lostError();
    let timer: NodeJS.Timeout | undefined;
    if (options.silenceMs !== null) timer = setTimeout(lose, options.silenceMs);
    try {
      // Otherwise every statement with parameters costs two round trips: one to learn their types, one to run.
      const statement = client.unsafe(sql, params.map(parameter), { prepare: true });
      const rows = rowMode === 'array' ? await statement.values() : await statement;
      return { rows, affectedRows: rows.count ?? 0, command: rows.command };
    } catch (error) {
      if (isConnectionError(error)) lose();
      throw withoutValues(error);
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    openedAtMs: options.nowMs(),
    isLost: () => isLost,
    query: (sql, params = [], { rowMode = 'object' } = {}) => run(sql, params, rowMode),
    async exec(sql) {
      try {
        return await run(sql, [], 'object');
      } catch (error) {
        // A session that could not be rolled back is in no state to be used again.
        if (sql === 'ROLLBACK') lose();
        throw error;
      }
    },
    end: lose,
  };
}

const lostError = () => new DatabaseError('connection_lost', 'The connection to the database was lost');

type ParsedAddress = {
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path: string | false;
};

type ClientEvents = { onClose(): void; onSocket(socket: Socket): void };

function createClient(options: SessionOptions, { onClose, onSocket }: ClientEvents): postgres.Sql {
  let hasConnected = false;
  function connectOnce({ host, port, path }: ParsedAddress): Socket {
    if (hasConnected) throw lostError();
    hasConnected = true;
    const address = { host: host[0] ?? 'localhost', port: port[0] ?? 5432 };
    const socket = path ? createConnection(path) : createConnection(address);
    socket.setNoDelay(true);
    onSocket(socket);
    // postgres.js reads the host from here, for the server name of TLS. It may write at once: the socket keeps it until it stands.
    return Object.assign(socket, address);
  }
  const client = postgres(options.url, {
    max: 1,
    connect_timeout: CONNECT_TIMEOUT_S,
    idle_timeout: 0,
    max_lifetime: null,
    // Its look-up of array types runs where nobody can catch its failure; the ones we need are below.
    fetch_types: false,
    onnotice: () => {},
    onclose: onClose,
    connection: { ...options.settings },
    // The published types do not know this option.
    ...{ socket: connectOnce },
  });
  setTypes(client.options);
  return client;
}

/** Checks the form of the address only. */
export function assertDatabaseUrl(url: string): void {
  const form = 'postgres://user:password@host:port/name';
  if (!URL.canParse(url) || !/^postgres(ql)?:\/\//.test(url)) {
    throw new DatabaseError('invalid_url', `DATABASE_URL is no address of a database: expected ${form}`);
  }
}

const asIs = (value: string): unknown => value;
const asText = (value: unknown): unknown => (value instanceof Date ? value.toISOString() : value);
const asJson = (value: unknown): unknown => (typeof value === 'string' ? value : JSON.stringify(value));

/** Kept as PostgreSQL writes them: a Date has no microseconds and no infinity. date, time, timestamp, timestamptz, interval. */
const TIME_TYPES = [1082, 1083, 1114, 1184, 1186];
const JSON_TYPES = [114, 3802];
/** Arrays of these, and how an element is read: as the same type outside of an array is. */
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

function setTypes({ parsers, serializers }: postgres.ParsedOptions): void {
  for (const type of TIME_TYPES) {
    parsers[type] = asIs;
    serializers[type] = asText;
  }
  for (const type of JSON_TYPES) serializers[type] = asJson;
  for (const [type, parseElement] of ARRAY_TYPES) parsers[type] = (text: string) => parseArrayText(text, parseElement);
}

/** postgres.js guesses an array's type from its first element, and wrongly for some; as text the server knows. */
function parameter(value: unknown): postgres.ParameterOrJSON<never> {
  if (Array.isArray(value)) return arrayText(value);
  // drizzle has encoded values by column already; what is left the driver knows or refuses.
  return value as postgres.ParameterOrJSON<never>;
}
