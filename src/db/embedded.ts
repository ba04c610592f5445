import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Database, DatabaseLog } from './connect.ts';
import { lockDirectory } from './directory-lock.ts';
import { type EmbeddedClient, openEmbeddedClient } from './embedded-client.ts';
import { startUpkeep } from './embedded-upkeep.ts';
import type { Db } from './query.ts';
import { openDb } from './session.ts';

export const IN_MEMORY = 'memory://';

export type EmbeddedOptions = {
  /** Created if missing, parents too; `memory://` keeps nothing. */
  readonly dataDir: string;
  readonly log: DatabaseLog;
  /** For tests: an uncompressed dump to begin from. */
  readonly dump?: Uint8Array;
};

/**
 * Opens PostgreSQL compiled to WebAssembly (PGlite) in a thread of this process, on a folder that it locks against other
 * processes. One session: statements run one after the other, a transaction holds all others up.
 *
 * Durability: an acknowledged commit survives the end of this process, kill -9 included. PGlite never calls fsync, so a
 * power cut or a crash of the operating system can lose or damage what it had not yet written: use a PostgreSQL server
 * where that matters. `statement_timeout` and `lock_timeout` have no effect here.
 */
export async function connectEmbedded(options: EmbeddedOptions): Promise<Database> {
  const isInMemory = options.dataDir === IN_MEMORY;
  const folder = isInMemory ? IN_MEMORY : resolve(options.dataDir);
  const databaseDir = isInMemory ? IN_MEMORY : join(folder, 'database');
  if (!isInMemory) mkdirSync(databaseDir, { recursive: true });
  const lock = isInMemory ? null : lockDirectory(folder);
  let client: EmbeddedClient;
  try {
    client = await openEmbeddedClient({ dataDir: databaseDir, dump: options.dump ?? null });
  } catch (error) {
    lock?.release();
    throw error;
  }
  const db = openDb(client);
  const upkeep = isInMemory ? null : startUpkeep(client, options.log);
  let closing: Promise<void> | null = null;
  return {
    kind: 'embedded',
    db,
    ingestDb: db,
    serverVersion: client.serverVersion,
    exclusively: createQueue(db),
    close() {
      closing ??= (async () => {
        await upkeep?.stop();
        await client.close();
        lock?.release();
      })();
      return closing;
    },
  };
}

/** The folder is ours alone, so only this process can be in the way: one piece of work after the other, whatever its name. */
export function createQueue(db: Db): Database['exclusively'] {
  let last: Promise<unknown> = Promise.resolve();
  return (_name, work) => {
    const next = last.then(() => work(db));
    last = next.catch(() => {});
    return next;
  };
}
