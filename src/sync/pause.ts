import type { Db } from '../db/connect.ts';
import type { Log } from '../lib/log.ts';
import type { PauseReason } from '../model/source-state.ts';
import type { SourceError } from '../source/error.ts';
import { pauseSource, resumeSource } from '../store/source-states.ts';

/** `operator`: a person says so. `authorized`: new credentials came. `start`: credentials may have come with the restart. */
export type ResumeCause = 'operator' | 'authorized' | 'start';

const LIFTED_BY: { readonly [cause in ResumeCause]: readonly PauseReason[] } = {
  operator: ['auth', 'operator'],
  authorized: ['auth'],
  start: ['auth'],
};

/**
 * Lets an integration go on: runs at the page where they stopped, reads that waited, schedules. What an operator paused only
 * an operator resumes. Loops notice at their next poll; wake them to have it at once. Safe to repeat.
 * @returns true when it was paused for something that this cause lifts.
 */
export const resumeIntegration = (db: Db, integration: string, cause: ResumeCause): Promise<boolean> =>
  db.transaction((tx) => resumeSource(tx, integration, LIFTED_BY[cause]));

/** Stops an integration until an operator resumes it. Deliveries are stored and applied as ever. Safe to repeat. */
export async function pauseIntegration(db: Db, integration: string, detail: string | null): Promise<void> {
  await db.transaction((tx) => pauseSource(tx, integration, { reason: 'operator', detail }));
}

/**
 * The source refuses our credentials, after the client has renewed them: a request more would only be refused too, and some
 * sources lock an account for that. A replica that is stopping with the old credentials may so pause what its successor had
 * resumed; then somebody resumes once more.
 */
export async function pauseForAuth(
  deps: { readonly db: Db; readonly log: Log },
  integration: string,
  error: SourceError,
): Promise<void> {
  const detail = `${error.code}: ${error.message}`;
  const isNew = await deps.db.transaction((tx) => pauseSource(tx, integration, { reason: 'auth', detail }));
  if (isNew) deps.log.warn({ integration, code: error.code, status: error.status }, 'paused: credentials are refused');
}
