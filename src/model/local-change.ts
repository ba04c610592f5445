import type { Instant } from './instant.ts';

/**
 * A captured edit of one row: inserted, updated or removed; or of the whole table, emptied by TRUNCATE (`T`, with an empty
 * key). It says which row to look at. What is to be pushed is told by the row as it stands then.
 */
export type LocalChange = {
  readonly targetKey: string;
  readonly op: 'I' | 'U' | 'D' | 'T';
  readonly at: Instant;
};
