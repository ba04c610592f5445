import { DatabaseError, StatementError } from './errors.ts';

/**
 * Why a statement failed, as far as a caller must tell. `connection`: no answer; the statement may or may not have run.
 * `serialization`: deadlock or serialisation failure, worth repeating at once. `lock_timeout`: somebody holds the row.
 * `timeout`: cancelled for taking too long. `data`: a value the database cannot hold (22xxx, and NUL in text). `foreign_key` and
 * `constraint`: the row breaks a rule of its table. `schema`: a table, column or right is missing. `full`: out of disk or memory.
 */
export type FailureKind =
  | 'connection'
  | 'serialization'
  | 'lock_timeout'
  | 'timeout'
  | 'data'
  | 'foreign_key'
  | 'constraint'
  | 'schema'
  | 'full'
  | 'other';

const MAX_CAUSES = 8;
const SQL_STATE = /^[0-9A-Z]{5}$/;
const DRIVER_CODE = /^[A-Z][A-Z0-9_]{1,63}$/;

/** By code; where there is none, by class (its first two characters). */
const KIND_BY_CODE: ReadonlyMap<string, FailureKind> = new Map([
  ['40001', 'serialization'],
  ['40P01', 'serialization'],
  ['55P03', 'lock_timeout'],
  ['57014', 'timeout'],
  ['57P01', 'connection'],
  ['57P02', 'connection'],
  ['57P03', 'connection'],
  ['57P05', 'connection'],
  ['25P03', 'connection'],
  ['25P04', 'connection'],
  // Not accepting writes: a standby, or a primary that was demoted under us. The next connection may find the new one.
  ['25006', 'connection'],
  ['53300', 'connection'],
  ['23503', 'foreign_key'],
  ['28000', 'connection'],
  ['28P01', 'connection'],
  ['42501', 'schema'],
  // A value too long or deep for its index or parser says something about the value, not about the server.
  ['54000', 'data'],
  ['54001', 'data'],
]);
const KIND_BY_CLASS: ReadonlyMap<string, FailureKind> = new Map([
  ['08', 'connection'],
  ['22', 'data'],
  ['23', 'constraint'],
  ['3D', 'schema'],
  ['3F', 'schema'],
  ['42', 'schema'],
  ['44', 'constraint'],
  ['53', 'full'],
  ['58', 'full'],
]);

const CONNECTION_CODES: ReadonlySet<string> = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOTFOUND',
  'ENOENT',
  'EACCES',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** The five-character SQLSTATE of a failed statement, however deep the driver buried it, or null. */
export function sqlState(error: unknown): string | null {
  return codes(error).find((code) => SQL_STATE.test(code) && /\d/.test(code)) ?? null;
}

/** Sorts any error of a query. Never throws. */
export function failureKind(error: unknown): FailureKind {
  const state = sqlState(error);
  if (state !== null) return KIND_BY_CODE.get(state) ?? KIND_BY_CLASS.get(state.slice(0, 2)) ?? 'other';
  const own = ownError(error);
  if (own !== null) return OWN_KINDS[own.code] ?? 'other';
  return codes(error).some((code) => CONNECTION_CODES.has(code)) ? 'connection' : 'other';
}

/** True where the database itself has answered that it will not do it, for whatever reason. */
export const isDatabaseAnswer = (error: unknown): boolean =>
  sqlState(error) !== null && failureKind(error) !== 'connection';

/**
 * True for what one row, or another's hold on it, can bring about: nothing follows from it for other rows. A trigger of the
 * user's may raise any code, that of a missing table too; that one alone (`schema`) cannot be told from the table's own.
 */
export function isRowFault(error: unknown): boolean {
  const kind = failureKind(error);
  if (kind === 'other') return sqlState(error) !== null;
  return kind === 'data' || kind === 'constraint' || kind === 'foreign_key' || kind === 'lock_timeout';
}

/** Where either driver puts the names that PostgreSQL reports with an error. */
const NAME_FIELDS = {
  schema: ['schema_name', 'schema'],
  table: ['table_name', 'table'],
  column: ['column_name', 'column'],
  constraint: ['constraint_name', 'constraint'],
} as const;

/** A driver's error with only its code and names; our own errors as they are. See `StatementError`. */
export function withoutValues(error: unknown): DatabaseError | StatementError {
  if (error instanceof DatabaseError || error instanceof StatementError) return error;
  const names: { [kind: string]: string } = {};
  if (error instanceof Error) {
    for (const [kind, fields] of Object.entries(NAME_FIELDS)) {
      const name = fields.map((field): unknown => Reflect.get(error, field)).find((value) => typeof value === 'string');
      if (typeof name === 'string') names[kind] = name;
    }
  }
  const code = sqlState(error) ?? codes(error).find((one) => DRIVER_CODE.test(one)) ?? 'unknown';
  return new StatementError(code, names);
}

/** True when the database could not be reached, or went away: wait and try again, it is no row's fault. */
export const isConnectionError = (error: unknown): boolean => failureKind(error) === 'connection';

const OWN_KINDS: { readonly [code in DatabaseError['code']]?: FailureKind } = {
  unreachable: 'connection',
  closed: 'connection',
  connection_lost: 'connection',
  crashed: 'connection',
  busy: 'connection',
  idle_transaction: 'connection',
};

function codes(error: unknown): string[] {
  return causes(error).flatMap((one) =>
    typeof one === 'object' && one !== null && 'code' in one && typeof one.code === 'string' ? [one.code] : [],
  );
}

const ownError = (error: unknown): DatabaseError | null =>
  causes(error).find((one): one is DatabaseError => one instanceof DatabaseError) ?? null;

/** The error, its cause, that one's cause; and what an AggregateError (both addresses of a host) gathers. */
function causes(error: unknown): unknown[] {
  const found: unknown[] = [];
  let current: unknown = error;
  while (current instanceof Error && found.length < MAX_CAUSES) {
    found.push(current);
    if (current instanceof AggregateError) found.push(...current.errors.slice(0, MAX_CAUSES));
    current = current.cause;
  }
  return found;
}
