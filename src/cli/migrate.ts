import type { Environment } from '../lib/setting.ts';
import { migrateAll } from '../server.ts';
import { reportStartFailure } from './start-failure.ts';

/** Applies all migrations and ends. @returns the exit code. */
export async function migrate(environment: Environment, workingFolder: string): Promise<number> {
  try {
    await migrateAll({ environment, workingFolder });
    process.stdout.write('All migrations are applied.\n');
    return 0;
  } catch (error) {
    return reportStartFailure(error);
  }
}
