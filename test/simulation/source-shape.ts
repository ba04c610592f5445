import type { Fields } from './source-history.ts';

/** How the simulated source behaves. What is declared of it is in the capabilities; this is what it really does. */
export type SourceShape = {
  readonly versionKind: 'counter' | 'timestamp' | 'none';
  /** Stamps are rounded down to it. Edits come about ten times as often. */
  readonly tickMs: number;
  /** A read may show the source as it was up to so long before. */
  readonly lagMs: number;
  /** A change may carry a stamp or number that was given up to so long before it can be seen; at most the lag. */
  readonly lateCommitMs: number;
  readonly canUndelete: boolean;
  readonly payload: 'full' | 'partial' | 'thin';
  readonly deleteEvents: 'versioned' | 'unversioned';
  /** A list shows deleted records, as such. */
  readonly showsDeleted: boolean;
  readonly paging: 'keyset' | 'offset';
  readonly pageSize: number;
  /** Upper case, trimmed, rounded. */
  readonly normalises: boolean;
  /** `d` is computed from `a`: at once, or some time later as a change of its own; or there is none. */
  readonly derives: 'at_once' | 'later' | 'never';
  /** A write that changes nothing is a change all the same: version and tag move. */
  readonly touches: boolean;
  readonly ifMatch: 'etag' | 'version' | null;
  /** How long it remembers idempotency keys; null where it knows none. */
  readonly idempotencyTtlMs: number | null;
  readonly hasMarker: boolean;
  /** The answer to a write shows the record. */
  readonly answersRecord: boolean;
  /** Writes may be carried out after our deadline and the grace that goes with it. */
  readonly hasZombies: boolean;
  /** Refuses some values for good. */
  readonly refuses: boolean;
};

export function normalise(shape: SourceShape, fields: Fields): Fields {
  if (!shape.normalises) return fields;
  const normal: Record<string, Fields[string]> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'a' && typeof value === 'string') normal[name] = value.toUpperCase();
    else if (name === 'b' && typeof value === 'string') normal[name] = value.trim();
    else if (name === 'n' && typeof value === 'number') normal[name] = Math.round(value / 2) * 2;
    else normal[name] = value;
  }
  return normal;
}

/** What the source computes by itself from what it was given. */
export const derive = (fields: Fields): Fields => ({
  ...fields,
  d: typeof fields.a === 'string' ? `of ${fields.a}` : null,
});
