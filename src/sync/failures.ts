import { failureKind } from '../db/failure.ts';
import { SourceError } from '../source/error.ts';

/** A lease that somebody else holds by now: roll back, and leave the work to them. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/** An operator cancelled the run: roll back, and end it. */
export class RunCancelledError extends Error {
  override readonly name = 'RunCancelledError';
}

/** The run took longer than its entity allows: roll back, and end it. */
export class RunLateError extends Error {
  override readonly name = 'RunLateError';
}

/** The run's integration was paused: give it back, to go on where it stands once it is resumed. */
export class RunPausedError extends Error {
  override readonly name = 'RunPausedError';
}

/** Ids cannot be looked up, so records that have some are not written; the same may succeed later. */
export class LookupUnavailableError extends Error {
  override readonly name = 'LookupUnavailableError';

  constructor(what: string, cause: unknown) {
    super(cause === null ? what : `${what}: ${describeFailure(cause).message}`, { cause });
  }
}

/** What kept the source from giving a list for lookups, where that passes or pauses; else the error as it is. */
export function behindLookup(error: unknown): unknown {
  const cause = error instanceof LookupUnavailableError ? error.cause : null;
  const counts = cause instanceof SourceError && (cause.isRetryable || cause.code === 'unauthorized');
  return counts ? cause : error;
}

/** A list that is too long to be kept for lookups. */
export class LookupTooLongError extends Error {
  override readonly name = 'LookupTooLongError';

  constructor(maxEntries: number) {
    super(`its list has more than ${maxEntries} entries`);
  }
}

/** What a run or a worker tells people about a failure: a stable code and words without values, SQL or stacks. */
export function describeFailure(error: unknown): { code: string; message: string } {
  if (error instanceof SourceError) return { code: error.code, message: error.message };
  if (error instanceof LeaseLostError) return { code: 'lease_lost', message: 'another worker took over' };
  if (error instanceof RunLateError) return { code: 'deadline', message: 'the run did not end within its deadline' };
  if (error instanceof LookupUnavailableError) return { code: 'lookup_unavailable', message: error.message };
  if (error instanceof LookupTooLongError) return { code: 'lookup_too_long', message: error.message };
  const kind = failureKind(error);
  switch (kind) {
    case 'connection':
      return { code: 'database_connection', message: 'the database could not be reached' };
    case 'schema':
      return { code: 'database_schema', message: 'a table, column or right that is needed is missing in the database' };
    case 'full':
      return { code: 'database_full', message: 'the database is out of disk or memory' };
    case 'serialization':
    case 'lock_timeout':
    case 'timeout':
      return { code: `database_${kind}`, message: 'the database was too busy with the same rows' };
    default:
      return { code: 'internal', message: error instanceof Error ? error.name : 'unknown failure' };
  }
}
