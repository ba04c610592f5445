import type { Content } from '../model/observation.ts';
import type { MappingProblem } from './problem.ts';

export type { MappingProblem } from './problem.ts';

export type Mapped =
  | {
      readonly kind: 'mapped';
      readonly externalId: string;
      /** Canonical. Of a partial payload only the properties that it carries; empty when `isDeleted`. */
      readonly content: Content;
      /** Of `content` as it stands: for a partial payload not comparable with that of the whole record. */
      readonly hash: string;
      /** Null where the entity has no versions, and where a partial payload or a deleted record shows none. */
      readonly version: bigint | null;
      /** The record carries the entity's mark of deletion. */
      readonly isDeleted: boolean;
    }
  /** The entity's `only` says that the record is none of its own. Never of a partial payload, which may not show it. */
  | { readonly kind: 'ignored'; readonly externalId: string | null }
  /** A partial payload that cannot be used by itself (a column made of several fields, some of them absent): read the record. */
  | { readonly kind: 'incomplete'; readonly externalId: string; readonly version: bigint | null }
  | { readonly kind: 'invalid'; readonly externalId: string | null; readonly problem: MappingProblem };

export type IdResult =
  | { readonly ok: true; readonly externalId: string }
  | { readonly ok: false; readonly problem: MappingProblem };

/** Everything that one entity's mapping can do. Pure, and none of it throws, whatever the record is. */
export type Mapper = {
  /** One declaration for webhook payloads and API rows alike. */
  map(raw: unknown, options?: { readonly isPartial?: boolean }): Mapped;
  /** The id of a record that may be unfit otherwise. */
  externalIdOf(raw: unknown): IdResult;
  /** An id that stands by itself, as a thin payload sends it. */
  parseId(value: unknown): IdResult;
  /** The version of a record, null when there is none to read. */
  versionOf(raw: unknown): bigint | null;
  /** A version that stands by itself, in the entity's format; null when it cannot be read. */
  parseVersion(value: unknown): bigint | null;
  /** Digest of canonical content, however its keys are ordered. */
  hashOf(content: Content): string;
  /** Changes when the mapping does, so that a full run is owed. Functions of the user's count by their source text. */
  readonly fingerprint: string;
};
