import { addMs, type Instant } from '../model/instant.ts';
import type { LeasedRun } from '../model/run.ts';
import type { Mark, StreamProgress } from '../store/streams.ts';
import type { Stream } from './stream.ts';

const MICROS_PER_MS = 1000n;

type Ended = { run: LeasedRun; maxKey: bigint | null; progress: StreamProgress | null; now: Instant };

/**
 * Where the next incremental run starts. The cursor only moves to a key that had been seen at least one read lag before
 * the ended run began: rows committed late with an older key then fell inside that run. It needs no source clock and
 * cannot pass "now". Moving it to the greatest key seen, or to the present time, loses rows.
 */
export function settleCursor(
  stream: Stream,
  { run, maxKey, progress, now }: Ended,
): { cursor: bigint | null; marks: Mark[] } {
  const cursor = progress?.cursor ?? null;
  const marks = [...(progress?.marks ?? [])];
  // What an operator asked for from a moment of her own says nothing about what lies before it.
  if (run.since !== null || stream.changedSince === null) return { cursor, marks };
  const settledBefore = addMs(run.startedAt, -stream.caps.readLagMs);
  let next = cursor;
  const open: Mark[] = [];
  for (const mark of marks) {
    if (mark.at > settledBefore) open.push(mark);
    else if (next === null || mark.key > next) next = mark.key;
  }
  if (maxKey !== null && (next === null || maxKey > next)) open.push({ at: now, key: maxKey });
  if (next === null && run.mode === 'full') next = firstCursor(stream, maxKey);
  return { cursor: next, marks: open.slice(-MAX_MARKS) };
}

/** Dropping the oldest only lets the cursor move later; runs that end before the lag has passed are few. */
const MAX_MARKS = 100;

/** Sources round their stamps down, to a minute at the coarsest: a change may carry a key that much older than itself. */
const COARSEST_TICK_MS = 60_000;

/**
 * After the first full run there is no settled key yet. What that run may have missed was stamped at most a read lag
 * before its first page; counters say nothing about time, so there the next incremental run reads everything once more.
 */
function firstCursor(stream: Stream, maxKey: bigint | null): bigint | null {
  if (maxKey === null || stream.caps.versionKind !== 'timestamp') return null;
  const from = maxKey - BigInt(stream.caps.readLagMs + COARSEST_TICK_MS) * MICROS_PER_MS;
  return from > 0n ? from : null;
}
