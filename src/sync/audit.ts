import { isConnectionError } from '../db/failure.ts';
import {
  type AuditState,
  findHandled,
  findLostRows,
  findUncaptured,
  readAuditState,
  saveAudited,
} from '../store/audit.ts';
import { isTableKnown } from '../store/captured-tables.ts';
import { addLocalChanges } from '../store/local-changes.ts';
import type { SyncDeps } from './deps.ts';
import { brakeRemovals } from './mass-delete.ts';
import { openRecordTx } from './record-tx.ts';
import { type Stream, streamName } from './stream.ts';
import type { TwoWay } from './two-way.ts';

/** From the end of one pass over a stream to the next. */
const AUDIT_EVERY_MS = 3_600_000;
/** Until a stream is looked at again that owes a full run, or whose audit failed. */
const NOT_READY_MS = 60_000;
/** Rows that are compared in one statement. */
const PAGE_ROWS = 2_000;

export type Audit = {
  /** One bounded step. @returns true when there is more to do at once. */
  runOnce(): Promise<boolean>;
};

type TwoWayStream = Stream & { readonly twoWay: TwoWay };

/** Where a pass over one stream stands. */
type Pass = {
  readonly stream: TwoWayStream;
  readonly state: AuditState;
  readonly phase: 'rows' | 'lost';
  readonly after: string | null;
};

/**
 * The net under the capture triggers: each hour, and after the start, the rows of two-way streams are compared with how their
 * records were stored, a page a step. What was edited without being captured (a trigger that was switched off or failed, a
 * write to a partition, a row that a foreign key took along) is added to the captured edits, and goes the way of all of them.
 * What is known of already (a push or conflict is open) is left alone. Where a pass stands is forgotten with the process.
 */
export function createAudit(
  { db, streams, log }: Pick<SyncDeps, 'db' | 'streams' | 'log'>,
  nowMs: () => number,
): Audit {
  const audited = [...streams.values()].flatMap((stream) =>
    stream.twoWay === null ? [] : [{ ...stream, twoWay: stream.twoWay }],
  );
  const dueAtMs = new Map<string, number>();
  let pass: Pass | null = null;

  const postpone = (stream: TwoWayStream, byMs: number) => dueAtMs.set(streamName(stream.key), nowMs() + byMs);

  /** The first stream that is due and ready. */
  async function begin(): Promise<Pass | null> {
    for (const stream of audited) {
      if ((dueAtMs.get(streamName(stream.key)) ?? 0) > nowMs()) continue;
      postpone(stream, NOT_READY_MS);
      const state = await readAuditState(db, stream.key);
      if (state?.isReady) return { stream, state, phase: 'rows', after: null };
    }
    return null;
  }

  async function step(under: Pass): Promise<Pass | null> {
    // A table that was made anew is taken up first; then a full run is owed, and the audit begins after that.
    if (!(await isTableKnown(db, under.stream))) return null;
    const next = under.phase === 'rows' ? await auditRows(under) : await auditLost(under);
    if (next !== null) return next;
    await saveAudited(db, under.stream.key, under.state.next);
    postpone(under.stream, AUDIT_EVERY_MS);
    return null;
  }

  async function auditRows(under: Pass): Promise<Pass> {
    const { stream, state, after } = under;
    const { key, target, twoWay } = stream;
    const page = await findUncaptured(db, key, target, { after, limit: PAGE_ROWS, since: state.since });
    const handled = await handledOf(
      stream,
      page.found.map(({ targetKey }) => targetKey),
    );
    const keysOf = (kind: (typeof page.found)[number]['kind'], isKnown: (targetKey: string) => boolean): string[] =>
      page.found.flatMap((one) => (one.kind === kind && !isKnown(one.targetKey) ? [one.targetKey] : []));
    // A row without a record of which any push is known was captured: whatever became of that push is no business of ours.
    const inserted = twoWay.writes.create === null ? [] : keysOf('unrecorded', (row) => handled.has(row));
    const updated = keysOf('differs', (row) => handled.get(row) === true);
    await addLocalChanges(db, key, 'I', inserted);
    await addLocalChanges(db, key, 'U', updated);
    tell(stream, inserted.length + updated.length);
    return page.after === null ? { ...under, phase: 'lost', after: null } : { ...under, after: page.after };
  }

  async function auditLost(under: Pass): Promise<Pass | null> {
    const { stream, after } = under;
    // A row that is gone means nothing there.
    if (stream.twoWay.localDeletes === 'detach') return null;
    const page = await findLostRows(db, stream.key, stream.target, { after, limit: PAGE_ROWS });
    const handled = await handledOf(stream, page.found);
    const removed = page.found.filter((row) => handled.get(row) !== true);
    await db.transaction(async (tx) => {
      await brakeRemovals(openRecordTx(tx, stream), { stream, log }, { count: removed.length, found: 'audited' });
      await addLocalChanges(tx, stream.key, 'D', removed);
    });
    tell(stream, removed.length);
    return page.after === null ? null : { ...under, after: page.after };
  }

  const handledOf = async ({ key }: TwoWayStream, rows: readonly string[]): Promise<ReadonlyMap<string, boolean>> =>
    new Map((await findHandled(db, key, rows)).map(({ targetKey, isOpen }) => [targetKey, isOpen]));

  function tell({ key }: TwoWayStream, edits: number): void {
    if (edits > 0) log.warn({ ...key, edits }, 'edits were found that no trigger had captured');
  }

  return {
    async runOnce() {
      const under = pass ?? (await begin());
      pass = null;
      if (under === null) return false;
      try {
        pass = await step(under);
      } catch (error) {
        if (isConnectionError(error)) throw error;
        log.warn({ ...under.stream.key, err: error }, 'the audit of the rows failed; it is tried again');
      }
      return true;
    },
  };
}
