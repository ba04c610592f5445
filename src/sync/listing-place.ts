import { createHash } from 'node:crypto';
import type { ListDefinition } from '../source/definition.ts';

/** Tells definitions apart; two that differ share one by chance once in 2^48. */
const MARK_HEX = 12;

/**
 * A page cursor as checkpoints keep it, with the list that it is a place in: a run may be taken up under a definition that
 * was changed meanwhile, and a cursor of the old list may be a place in the new one too, with records before it that nobody
 * read. Null is the end.
 */
export const keepPlace = (list: ListDefinition, cursor: string | null): string | null =>
  cursor === null ? null : `${markOf(list)} ${cursor}`;

/** The cursor that was kept; null when it is of another list, so that the listing has to begin anew. */
export function findPlace(list: ListDefinition, kept: string | null): string | null {
  const mark = `${markOf(list)} `;
  return kept?.startsWith(mark) ? kept.slice(mark.length) : null;
}

const markOf = (list: ListDefinition): string =>
  createHash('sha256').update(JSON.stringify(list)).digest('hex').slice(0, MARK_HEX);
