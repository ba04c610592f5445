import { sql as raw } from 'drizzle-orm';
import { queryRows } from '../../../src/db/query.ts';
import type { RunningServer } from '../../../src/server.ts';

/** Runs one statement for the demo's own eyes. */
export type Sql = (statement: string) => Promise<Record<string, unknown>[]>;

/** Reads in the server's own database: the embedded one can be opened by its own process only. */
export const sqlOf =
  ({ database }: RunningServer): Sql =>
  (statement) =>
    queryRows(database.db, raw.raw(statement));
