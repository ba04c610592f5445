import closeWithGrace from 'close-with-grace';
import type { Environment } from '../lib/setting.ts';
import { startServer } from '../server.ts';
import { reportStartFailure } from './start-failure.ts';

const GRACE_MS = 10_000;

/** Runs the server until it is told to stop. @returns the exit code when it could not start. */
export async function serve(environment: Environment, workingFolder: string): Promise<number> {
  try {
    const server = await startServer({ environment, workingFolder });
    closeWithGrace({ delay: GRACE_MS, logger: false }, async ({ signal, err }) => {
      if (err) server.log.fatal({ err }, 'unexpected failure; stopping');
      else server.log.info({ signal }, 'stopping');
      await server.stop();
      server.log.info('stopped');
    });
    return 0;
  } catch (error) {
    return reportStartFailure(error);
  }
}
