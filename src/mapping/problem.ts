import type { Kind } from '../lib/kind.ts';
import type { MappingCode } from './refusal.ts';

/** What is wrong with one record. No part of any value is in it, but for the record's id. */
export type MappingProblem = {
  readonly code: MappingCode;
  readonly integration: string;
  readonly entity: string;
  readonly externalId: string | null;
  /** In the source's record; null when the record as a whole is meant. Keys that the schema does not name show as `*`. */
  readonly fieldPath: string | null;
  readonly expected: string;
  readonly received: Kind;
  /** All of the above in one line. */
  readonly message: string;
};
