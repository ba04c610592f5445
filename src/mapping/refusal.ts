/**
 * Why one field of a record cannot be mapped. The list is closed; it is stored with dead letters.
 *
 * | code | means |
 * | --- | --- |
 * | `schema` | the source's own schema refuses the record |
 * | `bad_id` | the record has no usable id, so nothing can be kept under it |
 * | `bad_version` | the version cannot be read |
 * | `missing` | a value that the column needs is missing or null |
 * | `wrong_kind` | a value of another kind than the transform or column takes |
 * | `bad_value` | the right kind, but not readable as what it should be |
 * | `out_of_range` | readable, but the column cannot hold it |
 * | `bad_text` | text that PostgreSQL cannot store: NUL or half a surrogate pair |
 * | `user_function` | a function of the integration's own threw |
 * | `lookup_unavailable` | an id cannot be looked up now: the list could not be read |
 * | `unreadable` | the record itself cannot be read (no plain JSON) |
 */
export type MappingCode =
  | 'schema'
  | 'bad_id'
  | 'bad_version'
  | 'missing'
  | 'wrong_kind'
  | 'bad_value'
  | 'out_of_range'
  | 'bad_text'
  | 'user_function'
  | 'lookup_unavailable'
  | 'unreadable';

const MARK: unique symbol = Symbol.for('syncline.refusal');

/**
 * Thrown by transforms and by the canonical form on a value that they do not take; the mapper turns it into a problem of
 * that one record. `expected` completes "expected …" and never holds any part of the value.
 */
export class Refusal extends Error {
  /** Known by its mark, not by its class: a config file may load a copy of this module of its own. */
  static isRefusal(error: unknown): error is Refusal {
    return error instanceof Error && Object.hasOwn(error, MARK);
  }

  readonly [MARK] = true;
  readonly code: MappingCode;
  readonly expected: string;

  constructor(code: MappingCode, expected: string, options?: { readonly cause?: unknown }) {
    super(`expected ${expected}`, options);
    this.name = 'Refusal';
    this.code = code;
    this.expected = expected;
  }
}
