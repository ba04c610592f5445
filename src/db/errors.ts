/**
 * `unreachable`: no answer from the server at start. `unsupported_version`: PostgreSQL older than 14. `invalid_url`: not a
 * database address. `directory_locked`: another process holds the embedded database. `closed`: used after `close`.
 * `connection_lost`: the session ended under a transaction or statement.
 * `crashed`: the embedded database's thread ended; only a new process helps. `busy`: its queue is full. `idle_transaction`:
 * a transaction did nothing for too long and was rolled back. `aborted`: COMMIT of a transaction that had failed already.
 * `schema_newer`: migrated by a newer version. `migration_busy`: another process has been migrating for too long.
 */
export type DatabaseErrorCode =
  | 'unreachable'
  | 'unsupported_version'
  | 'invalid_url'
  | 'directory_locked'
  | 'closed'
  | 'connection_lost'
  | 'crashed'
  | 'busy'
  | 'idle_transaction'
  | 'aborted'
  | 'schema_newer'
  | 'migration_busy';

/** What this folder itself has to say. What the database says passes through: see `failureKind`. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly code: DatabaseErrorCode;

  constructor(code: DatabaseErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Names of the schema that a failed statement spoke of. None of them is a value. */
export type StatementNames = {
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
};

/**
 * A statement that failed: by `code`, which is its SQLSTATE, or the driver's code, or `unknown`. Nothing else of what the
 * database and the drivers say leaves this folder: their messages, details, hints and parameters quote rows and SQL.
 */
export class StatementError extends Error {
  override readonly name = 'StatementError';
  readonly code: string;
  declare readonly schema?: string;
  declare readonly table?: string;
  declare readonly column?: string;
  declare readonly constraint?: string;

  constructor(code: string, names: StatementNames = {}) {
    const told = Object.entries(names).map(([kind, name]) => `, ${kind} ${name}`);
    super(`A statement failed: ${code}${told.join('')}`);
    this.code = code;
    Object.assign(this, names);
  }
}
