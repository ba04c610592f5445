import { connectEmbedded } from './embedded.ts';
import { connectPostgres } from './postgres.ts';
import type { Db } from './query.ts';

export type { Db } from './query.ts';

/** What the database reports to: a pino logger fits. */
export type DatabaseLog = {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
};

export type Database = {
  readonly kind: 'postgres' | 'embedded';
  readonly db: Db;
  /** For storing deliveries: a small pool of its own, so that slow work never keeps a sender waiting. Embedded: the same as `db`. */
  readonly ingestDb: Db;
  /** As the server reports it, for example 180006. */
  readonly serverVersion: number;
  /**
   * Runs `work` on a session of its own without the limits on statements, while no other process does so under the same
   * name. For migrations. Rejects with `migration_busy` when another process holds the name for too long.
   */
  exclusively<T>(name: string, work: (db: Db) => Promise<T>): Promise<T>;
  /** Lets open statements finish for a few seconds, then closes. Safe to repeat. */
  close(): Promise<void>;
};

export type ConnectOptions = {
  /** `postgres://…`. Without it the embedded database is used. */
  readonly url?: string | undefined;
  /** Folder of the embedded database, created if missing; `memory://` keeps nothing. Required without `url`. */
  readonly dataDir?: string | undefined;
  /** @default 10 connections */
  readonly poolSize?: number;
  /** @default 3 connections */
  readonly ingestPoolSize?: number;
  readonly log: DatabaseLog;
};

/**
 * Opens the database and proves that it answers. Throws `DatabaseError`: `unreachable`, `unsupported_version`,
 * `invalid_url`, `directory_locked`. Once open it survives restarts of a PostgreSQL server: statements fail with a
 * `connection` failure meanwhile, later ones connect again.
 */
export async function connectDatabase(options: ConnectOptions): Promise<Database> {
  if (options.url !== undefined) return connectPostgres({ ...options, url: options.url });
  return connectEmbedded({ dataDir: options.dataDir ?? '.syncline', log: options.log });
}
