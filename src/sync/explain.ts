import type { Db } from '../db/connect.ts';
import { failureKind } from '../db/failure.ts';
import { type Instant, toDate } from '../model/instant.ts';
import { type HistoryRow, readHistory } from '../store/record-history.ts';
import { readStates } from '../store/record-states.ts';
import { readRow } from '../store/target.ts';
import { explainTwoWay } from './explain-two-way.ts';
import { describeFailure } from './failures.ts';
import type { Stream } from './stream.ts';
import { versionText } from './version-text.ts';

const MAX_HISTORY = 100;

/**
 * Why a row looks as it does: what the target holds, what we know of the record, and every decision about it. A row of a
 * two-way stream whose record the source has not named yet is found by its key.
 */
export async function explainRecord(db: Db, stream: Stream, externalId: string) {
  const state = (await readStates(db, stream.key, [externalId])).get(externalId);
  const history = await readHistory(db, stream.key, externalId, MAX_HISTORY);
  const twoWay = await explainTwoWay(db, stream, externalId);
  if (state === undefined && history.length === 0 && twoWay === null) return null;
  const row = await readRowIfAny(db, stream, twoWay?.key ?? state?.targetKey ?? externalId);
  return {
    ...stream.key,
    id: twoWay === null ? externalId : twoWay.recordId,
    status: state?.status ?? 'none',
    version: versionText(stream.caps.versionKind, state?.version ?? null),
    ...row,
    etag: twoWay?.etag ?? null,
    twoWay:
      twoWay === null
        ? null
        : { key: twoWay.key, dirty: twoWay.dirty, conflict: twoWay.conflict, pushes: twoWay.pushes },
    tombstone:
      state?.status === 'tombstone'
        ? {
            version: versionText(stream.caps.versionKind, state.tombVersion),
            seenAt: iso(state.hi),
            isSoft: state.isTombSoft,
          }
        : null,
    seen: state === undefined ? null : { notBefore: iso(state.lo), notAfter: iso(state.hi) },
    timesApplied: state?.appliedSeq ?? 0,
    history: history.map((entry) => told(stream, entry)),
  };
}

/** The page that should explain why nothing is written must not fail for the same reason. */
async function readRowIfAny(db: Db, stream: Stream, key: string) {
  try {
    return { row: await readRow(db, stream.target, key), rowProblem: null };
  } catch (error) {
    if (failureKind(error) !== 'schema') throw error;
    return { row: null, rowProblem: describeFailure(error).message };
  }
}

const told = (stream: Stream, entry: HistoryRow) => ({
  at: iso(entry.at),
  decision: entry.decision,
  reason: entry.reason,
  channel: entry.channel,
  by: { kind: entry.originKind, id: entry.originId },
  version: versionText(stream.caps.versionKind, entry.version === null ? null : BigInt(entry.version)),
  correlationId: entry.correlationId,
});

const iso = (at: Instant): string | null => (Number.isFinite(at) ? toDate(at).toISOString() : null);
