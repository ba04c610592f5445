import type { RecordState } from '../model/record-state.ts';
import type { HistoryEntry } from '../store/record-history.ts';
import type { RecordTx } from './record-store.ts';

type Done = {
  readonly what: 'edit' | 'remove' | 'resolve' | 'retry' | 'release' | 'discard';
  readonly decision: HistoryEntry['decision'];
  readonly reason: string | null;
  readonly correlationId: string | null;
};

/** What is told in a record's history of what a person has done by a route. */
export const operatorEntry = (
  { externalId, version, appliedSeq }: Pick<HistoryEntry, 'externalId' | 'version' | 'appliedSeq'>,
  { what, ...done }: Done,
): HistoryEntry => ({
  externalId,
  channel: 'manual',
  origin: { kind: 'operator', id: what },
  version,
  hash: null,
  appliedSeq,
  ...done,
});

/** Tells it of one record, in the same transaction. */
export const tellOperator = (tx: RecordTx, state: RecordState, done: Done): Promise<void> =>
  tx.appendHistory([operatorEntry(state, done)]);
