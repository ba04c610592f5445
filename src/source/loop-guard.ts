import { createHash } from 'node:crypto';

/** Cursors looked back at one by one. Cursors are bounded in length, so this bounds the memory of a listing. */
const WINDOW = 1_000;
/** Empty pages in a row that are followed: a filter may hide many records, but not for ever. */
const MAX_EMPTY_PAGES = 1_000;
/** Positions in a list move when it grows, so that an honest source can give a page again. */
const REPEATS_BY_GROWTH = 2;
/** Levels of a record that tell it from another one. */
const FINGERPRINT_DEPTH = 8;

/**
 * Notices when a listing comes back to a cursor that it has given before: at once within the last 1,000, and loops
 * of any length by comparing with an anchor that moves at each power of two (Brent), within two turns of the loop.
 */
export function createLoopGuard() {
  const window = new Set<string>();
  let anchor: string | null = null;
  let seen = 0;
  let anchorMovesAt = 1;
  return {
    /** True when `cursor` was there before; notes it otherwise. */
    isRepeat(cursor: string): boolean {
      if (cursor === anchor || window.has(cursor)) return true;
      window.add(cursor);
      if (window.size > WINDOW) {
        const [oldest] = window;
        if (oldest !== undefined) window.delete(oldest);
      }
      seen += 1;
      if (seen === anchorMovesAt) {
        anchor = cursor;
        anchorMovesAt *= 2;
      }
      return false;
    },
  };
}

/**
 * Notices a listing that goes nowhere: by its cursors, by its pages, and by pages that stay empty. Where cursors are
 * positions (`canMove`), two pages in a row may repeat earlier ones, but the last page not the one before it: a list that
 * grew so has more.
 */
export function createListGuard({ start, canMove }: { readonly start: string | null; readonly canMove: boolean }) {
  const cursors = createLoopGuard();
  const pages = createLoopGuard();
  let emptyPages = 0;
  let repeats = 0;
  let previous: string | null = null;
  if (start !== null) cursors.isRepeat(start);
  return {
    /** What is wrong with a page, as the end of a sentence; null when nothing is. */
    problemOf(items: readonly unknown[], nextCursor: string | null): string | null {
      if (nextCursor !== null && cursors.isRepeat(nextCursor)) return 'leads back to a page that was read before';
      emptyPages = items.length === 0 ? emptyPages + 1 : 0;
      if (emptyPages > MAX_EMPTY_PAGES) return `follows ${MAX_EMPTY_PAGES} empty ones in a row`;
      if (items.length === 0) return null;
      const page = fingerprint(items);
      const isSameAgain = page === previous;
      previous = page;
      repeats = pages.isRepeat(page) ? repeats + 1 : 0;
      const isLoop = canMove ? repeats > REPEATS_BY_GROWTH || (isSameAgain && nextCursor === null) : repeats > 0;
      return isLoop ? 'has the records of a page that was read before' : null;
    },
  };
}

/** Of a page with items. Its ends and their distance are enough: records differ at least in their ids. */
function fingerprint(items: readonly unknown[]): string {
  const ends = JSON.stringify([items.length, upTo(FINGERPRINT_DEPTH, items[0]), upTo(FINGERPRINT_DEPTH, items.at(-1))]);
  return createHash('sha256').update(ends).digest('base64url');
}

/** A source can nest deeper than a stack reaches. */
function upTo(depth: number, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value)) return value.map((inner) => upTo(depth - 1, inner));
  return Object.entries(value).map(([key, inner]) => [key, upTo(depth - 1, inner)]);
}
