import { hash } from 'node:crypto';
import { prepareColumn } from '../mapping/canonical.ts';
import { Refusal } from '../mapping/refusal.ts';
import type { Conflict } from '../model/conflict.ts';
import type { Content } from '../model/observation.ts';
import type { RecordState } from '../model/record-state.ts';
import type { RecordTx } from './record-store.ts';
import type { Stream } from './stream.ts';

/** A record with its row, or a row that no record belongs to yet: created here, and not linked to what the source made of it. */
export type Place = {
  /** Null of a row without a record. */
  readonly state: RecordState | null;
  readonly targetKey: string;
  readonly row: Content;
  readonly conflict: Conflict | null;
};

type Keyed = Pick<Stream, 'target'>;

/**
 * Finds what an id stands for: the record of that external id, or else the row of that key that has no record yet. With
 * `locked` both are held until the transaction ends. @returns null when there is neither, or the record's row is gone.
 */
export async function findPlace(
  tx: RecordTx,
  stream: Keyed,
  id: string,
  lock: 'locked' | 'unlocked',
): Promise<Place | null> {
  const readRow = async (key: string) => (await (lock === 'locked' ? tx.lockRows([key]) : tx.readRows([key]))).get(key);
  const conflictOf = async (key: string) => (await tx.openConflicts([key])).get(key) ?? null;
  const seen = (await tx.readStates([id])).get(id);
  if (seen !== undefined && seen.status !== 'none') {
    const state = lock === 'locked' ? (await tx.lockStates([id])).get(id) : seen;
    const targetKey = state?.targetKey ?? id;
    const conflict = await conflictOf(targetKey);
    // The row of a record that was deleted at the source stands as long as a person has not decided.
    if (state?.status === 'live' || conflict?.externalId === id) {
      const row = await readRow(targetKey);
      return state === undefined || row === undefined ? null : { state, targetKey, row, conflict };
    }
  }
  const targetKey = toTargetKey(stream, id);
  if (targetKey === null) return null;
  const row = await readRow(targetKey);
  if (row === undefined || (await tx.findByTargetKey([targetKey])).size > 0) return null;
  return { state: null, targetKey, row, conflict: await conflictOf(targetKey) };
}

/** A text as the value of the target's key column; null where that could not hold it. */
export function toTargetKey({ target }: Keyed, text: string): string | null {
  const column = target.columns[target.keyProperty];
  if (column === undefined) return null;
  try {
    return String(prepareColumn(column)(text));
  } catch (error) {
    if (Refusal.isRefusal(error)) return null;
    throw error;
  }
}

const TAG_BYTES = 16;

/**
 * A strong entity tag: another one whenever the row, or what we hold of the record, is another. Seeing an unchanged record
 * again leaves it as it is.
 */
export function tagOf(
  { mapper }: Pick<Stream, 'mapper'>,
  { state, row, conflict }: Pick<Place, 'state' | 'row' | 'conflict'>,
): string {
  const { status = 'none', baseHash = null, appliedSeq = 0, localVersion = 0 } = state ?? {};
  const version = state?.version?.toString() ?? null;
  const parts = [status, baseHash, version, appliedSeq, localVersion, mapper.hashOf(row), conflict?.id ?? null];
  const digest = hash('sha256', JSON.stringify(parts), 'buffer').subarray(0, TAG_BYTES);
  return `"${digest.toString('base64url')}"`;
}

/** What a caller knows of a record: `any` that it exists, or the tags of which it must have one. */
export type IfMatch = 'any' | readonly string[];

export const isMatch = (tag: string, wanted: IfMatch | null): boolean =>
  wanted === null || wanted === 'any' || wanted.includes(tag);
