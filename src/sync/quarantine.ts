import type { Db } from '../db/connect.ts';
import { failureKind, sqlState } from '../db/failure.ts';
import type { MappingProblem } from '../mapping/mapper.ts';
import type { Sighted } from '../model/apply.ts';
import type { Instant } from '../model/instant.ts';
import type { Channel, Origin } from '../model/observation.ts';
import { setAside } from '../store/dead-letters.ts';
import { appendHistory } from '../store/record-history.ts';
import { type Stream, streamName } from './stream.ts';

/** Sets a record aside that the database refused. Nothing of the database's own words is kept: they quote values. */
export async function setRecordAside(tx: Db, stream: Stream, sighted: Sighted, error: unknown): Promise<void> {
  const { seen } = sighted;
  const state = sqlState(error) ?? 'unknown';
  await setAside(tx, {
    ...letterOf(stream, sighted),
    errorCode: `database_${failureKind(error)}`,
    message: `${streamName(stream.key)} record ${seen.externalId}: the database refused the row (SQLSTATE ${state}${refusedBy(error)}); mend the record, the mapping or the table, then retry`,
  });
  await tellHistory(tx, stream, { ...seen, correlationId: sighted.correlationId, reason: `sqlstate_${state}` });
}

/** Sets a record aside whose row somebody else held for too long, where nobody can be asked for it again later. */
export async function setHeldAside(tx: Db, stream: Stream, sighted: Sighted): Promise<void> {
  const { seen } = sighted;
  await setAside(tx, {
    ...letterOf(stream, sighted),
    errorCode: 'row_held',
    message: `${streamName(stream.key)} record ${seen.externalId}: another transaction held its row for too long; retry when that has ended`,
  });
}

/** What the dead letter of a mapped record holds, whatever went wrong with it. */
const letterOf = (stream: Stream, { seen, inboxId, record, correlationId }: Sighted) => ({
  ...stream.key,
  externalId: seen.externalId,
  channel: seen.channel,
  inboxId,
  record,
  isPartial: seen.partial,
  isDelete: seen.content === null,
  lo: seen.lo,
  hi: seen.hi,
  version: seen.version,
  fieldPath: null,
  correlationId,
});

/** An input that could not be mapped: from where it came and what is wrong with it. */
export type Unmapped = {
  readonly problem: Pick<MappingProblem, 'externalId' | 'fieldPath' | 'message'> & { readonly code: string };
  readonly record: unknown;
  readonly channel: Channel;
  readonly origin: Origin;
  readonly isPartial: boolean;
  readonly isDelete: boolean;
  readonly lo: Instant;
  readonly hi: Instant;
  readonly inboxId: number | null;
  readonly correlationId: string | null;
};

/** Sets a record aside that does not fit its schema or mapping. */
export async function setUnmappedAside(tx: Db, stream: Stream, unmapped: Unmapped): Promise<void> {
  const { problem, channel, origin, correlationId } = unmapped;
  await setAside(tx, {
    ...stream.key,
    externalId: problem.externalId,
    channel,
    inboxId: unmapped.inboxId,
    record: toJsonText(unmapped.record),
    isPartial: unmapped.isPartial,
    isDelete: unmapped.isDelete,
    lo: unmapped.lo,
    hi: unmapped.hi,
    version: null,
    errorCode: problem.code,
    fieldPath: problem.fieldPath,
    message: problem.message,
    correlationId,
  });
  if (problem.externalId === null) return;
  const { externalId } = problem;
  await tellHistory(tx, stream, {
    externalId,
    channel,
    origin,
    version: null,
    hash: null,
    correlationId,
    reason: problem.code,
  });
}

async function tellHistory(
  tx: Db,
  stream: Stream,
  told: {
    externalId: string;
    channel: Channel;
    origin: Origin;
    version: bigint | null;
    hash: string | null;
    correlationId: string | null;
    reason: string;
  },
): Promise<void> {
  const { externalId, channel, origin, version, hash, correlationId, reason } = told;
  await appendHistory(tx, stream.key, [
    { externalId, channel, origin, decision: 'quarantine', reason, version, hash, appliedSeq: null, correlationId },
  ]);
}

/** Names of the schema, never values: which rule of which column refused. */
export function refusedBy(error: unknown): string {
  for (
    let current: unknown = error, depth = 0;
    current instanceof Error && depth < 8;
    current = current.cause, depth++
  ) {
    const { constraint_name, constraint, column_name, column } = current as unknown as Record<string, unknown>;
    const rule = constraint_name ?? constraint;
    const field = column_name ?? column;
    if (typeof rule === 'string') return `, constraint ${rule}`;
    if (typeof field === 'string') return `, column ${field}`;
  }
  return '';
}

/** As it can be stored; a record that JSON cannot carry any more is not kept, its dead letter still is. */
function toJsonText(record: unknown): string | null {
  try {
    return JSON.stringify(record) ?? null;
  } catch {
    return null;
  }
}
