import { failureKind } from '../../src/db/failure.ts';

/** Somebody holds a row: nothing of the transaction happened, and it may succeed in a moment. */
export const isHeldRow = (error: unknown): boolean => failureKind(error) === 'lock_timeout';
