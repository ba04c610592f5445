import type { PushWish } from '../model/push.ts';
import type { RecordTx } from './record-store.ts';

/** The row may still hold what has to be sent; whether it does is decided when the push is claimed. */
export async function lookAgain(
  tx: RecordTx,
  look: Pick<PushWish, 'targetKey' | 'externalId' | 'editedAt' | 'isRemoval'>,
): Promise<void> {
  await tx.ensurePushes([{ ...look, edits: 0, runAt: await tx.now() }]);
}

/** Reads the record again, as it is from now on. */
export async function wantRead(tx: RecordTx, externalId: string): Promise<void> {
  const now = await tx.now();
  await tx.wantReads([
    {
      externalId,
      reason: 'verify',
      needLo: now,
      minVersion: null,
      runAt: now,
      attempt: 0,
      correlationId: null,
      runId: null,
      isUrgent: true,
    },
  ]);
}
