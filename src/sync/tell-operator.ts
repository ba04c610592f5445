import type { RecordState } from '../model/record-state.ts';
import type { HistoryEntry } from '../store/record-history.ts';
import type { RecordTx } from './record-store.ts';

type Done = {
  readonly what: 'edit' | 'remove' | 'resolve' | 'retry' | 'discard';
  readonly decision: HistoryEntry['decision'];
  readonly reason: string | null;
  readonly correlationId: string;
};

/** Tells in a record's history what a person has done by a route, in the same transaction. */
export const tellOperator = (
  tx: RecordTx,
  { externalId, version, appliedSeq }: RecordState,
  { what, decision, reason, correlationId }: Done,
): Promise<void> =>
  tx.appendHistory([
    {
      externalId,
      channel: 'manual',
      origin: { kind: 'operator', id: what },
      decision,
      reason,
      version,
      hash: null,
      appliedSeq,
      correlationId,
    },
  ]);
