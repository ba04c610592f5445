import type { Mapper } from '../mapping/mapper.ts';
import type { Capabilities } from '../model/capabilities.ts';
import type { StreamKey } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';
import type { SourceClient } from '../source/client.ts';
import type { GetDefinition, GetManyDefinition, ListDefinition } from '../source/definition.ts';
import type { Lookups } from './lookups.ts';
import type { TwoWay } from './two-way.ts';

/** How a source is asked for what changed since a key. */
export type ChangedSince = {
  readonly param: string;
  /** Key (in the version's unit) as the source writes it. */
  readonly format: (key: bigint) => string;
  /** Sent in addition to the list's own query. */
  readonly query: Readonly<Record<string, string>>;
  /** How far before the cursor to read, in the version's unit. */
  readonly overlap: bigint;
};

/** One entity of one integration, ready to be worked on: what the flows take as an argument. */
export type Stream = {
  readonly key: StreamKey;
  readonly caps: Capabilities;
  readonly target: TargetTable;
  readonly mapper: Mapper;
  /** Something will ask for the base's content (partial payloads, edits of rows). */
  readonly keepsBase: boolean;
  readonly client: SourceClient;
  readonly list: ListDefinition;
  readonly changedSince: ChangedSince | null;
  readonly get: GetDefinition | null;
  /** How many records are read at once; null where they are read one by one. */
  readonly getMany: GetManyDefinition | null;
  readonly deletions: { readonly maxShare: number; readonly minimum: number };
  /** Full runs compare unchanged rows with the target and rewrite damaged ones. */
  readonly repairs: boolean;
  /** How long one run may take, waits for its source included, the time of pauses not. */
  readonly deadlineMs: number;
  /** Tables that its mapping looks ids up in; null when it looks up none. */
  readonly lookups: Lookups | null;
  /** How edits of its rows reach the source; null for a mirror. */
  readonly twoWay: TwoWay | null;
};

export const streamName = ({ integration, entity }: StreamKey): string => `${integration}/${entity}`;

/**
 * Changes with whatever makes stored rows or the stored cursor doubtful: the mapping, the version, how changes are asked
 * for; and when a mirror becomes two-way, since it has kept no base to compare edits with.
 */
export function fingerprintOf({
  mapper,
  changedSince,
  lookups,
  twoWay,
}: Pick<Stream, 'mapper' | 'changedSince' | 'lookups' | 'twoWay'>): string {
  const parts = [mapper.fingerprint];
  if (changedSince !== null) {
    const { param, query, overlap } = changedSince;
    parts.push(JSON.stringify([param, query, overlap.toString()]));
  }
  if (lookups !== null) parts.push(lookups.fingerprint);
  if (twoWay !== null) parts.push('two-way');
  return parts.join(' ');
}
