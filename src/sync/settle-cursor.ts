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
 *
 * A stamp ahead of the clock says nothing about the changes before it: it counts as the latest that the clock allows, and a
 * full run, which has read everything, takes back a cursor that got past its start.
 */
export function settleCursor(
  stream: Stream,
  { run, maxKey, progress, now }: Ended,
): { cursor: bigint | null; marks: Mark[] } {
  const cursor = progress?.cursor ?? null;
  const marks = [...(progress?.marks ?? [])];
  // What an operator asked for from a moment of her own says nothing about what lies before it.
  if (run.since !== null || stream.changedSince === null) return { cursor, marks };
  // What the run read may be of another mapping, another unit even: the full run that is owed since begins anew.
  if (progress !== null && progress.needsFullAt !== null && progress.needsFullAt > run.startedAt)
    return { cursor, marks };
  const settledBefore = addMs(run.startedAt, -stream.caps.readLagMs);
  let next = run.mode === 'full' ? notAhead(stream, cursor, run.startedAt) : cursor;
  const open: Mark[] = [];
  for (const { at, key } of marks) {
    const mark = { at, key: notAhead(stream, key, at) };
    if (mark.at > settledBefore) open.push(mark);
    else if (next === null || mark.key > next) next = mark.key;
  }
  const seen = notAhead(stream, maxKey, now);
  if (seen !== null && (next === null || seen > next)) open.push({ at: now, key: seen });
  if (next === null && run.mode === 'full') next = firstCursor(stream, notAhead(stream, maxKey, run.startedAt));
  return { cursor: next, marks: open.slice(-MAX_MARKS) };
}

/** Dropping the oldest only lets the cursor move later; runs that end before the lag has passed are few. */
const MAX_MARKS = 100;

/** Sources round their stamps down, to a minute at the coarsest: a change may carry a key that much older than itself. */
const COARSEST_TICK_MS = 60_000;

/** The key itself; for a stamp later than `at`, the oldest stamp that a change after `at` can carry. Counters are no moments. */
function notAhead<K extends bigint | null>(stream: Stream, key: K, at: Instant): K | bigint {
  if (key === null || stream.caps.versionKind !== 'timestamp' || key <= BigInt(Math.trunc(at))) return key;
  return BigInt(Math.trunc(addMs(at, -COARSEST_TICK_MS)));
}

/**
 * After the first full run there is no settled key yet. What that run may have missed was stamped at most a read lag
 * before its first page; counters say nothing about time, so there the next incremental run reads everything once more.
 */
function firstCursor(stream: Stream, maxKey: bigint | null): bigint | null {
  if (maxKey === null || stream.caps.versionKind !== 'timestamp') return null;
  const from = maxKey - BigInt(stream.caps.readLagMs + COARSEST_TICK_MS) * MICROS_PER_MS;
  return from > 0n ? from : null;
}
