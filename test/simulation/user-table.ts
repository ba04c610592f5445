import type { Content } from '../../src/model/observation.ts';

/** What the user's table does of its own accord when a row is written. */
export type UserTable = {
  /** As the table stores what is written: a trigger before the write may change it. */
  readonly store: (content: Content) => Content;
  /** A trigger after our own write that edits the row once more; null where there is none, or it does nothing. */
  readonly afterOurWrite: ((content: Content) => Content | null) | null;
  /** A trigger keeps this row from being inserted, without a word. */
  readonly keepsOut: (content: Content) => boolean;
  /** Somebody's transaction holds this row. */
  readonly isHeld: (targetKey: string) => boolean;
};
