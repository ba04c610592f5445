import { type ConnectOptions, connectDatabase, type Database } from './connect.ts';

/**
 * A database that is connected when it is first needed. An attempt that fails is told to those who wait for it, and the
 * next call tries again.
 */
export function createLazyDatabase(options: ConnectOptions) {
  let opening: Promise<Database> | null = null;
  let isClosed = false;
  return {
    async open(): Promise<Database> {
      if (isClosed) throw new Error('The database was closed');
      const attempt = opening ?? connectDatabase(options);
      opening = attempt;
      try {
        return await attempt;
      } catch (error) {
        if (opening === attempt) opening = null;
        throw error;
      }
    },
    /** Closes what was opened. Safe to repeat. */
    async close(): Promise<void> {
      isClosed = true;
      const database = await opening?.catch(() => null);
      await database?.close();
    },
  };
}
