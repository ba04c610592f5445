import type { SourceError, SourceErrorCode } from '../error.ts';

/** Failures that a smaller page can help against. */
const SHRINKS: ReadonlySet<SourceErrorCode> = new Set(['too_large', 'timeout']);
/** A source that is away answers no page in time, however small; and each try takes the whole of its retries. */
const MAX_TIMEOUTS_IN_A_ROW = 3;
/** Pages of a smaller size that must go well before a larger one is tried; twice as many after each failure. */
const GROW_AFTER_PAGES = 8;
const MAX_GROW_AFTER_PAGES = 1_024;

/**
 * Decides how many records to ask for, in one listing: half as many after a page that was too much, down to `min`, and
 * twice as many again after pages that went well, up to `size`.
 */
export function createPageSizing({ size, min = 1 }: { readonly size: number; readonly min?: number | undefined }) {
  let timeouts = 0;
  let goodPages = 0;
  let growAfter = GROW_AFTER_PAGES / 2;
  return {
    min,
    /** Size to try the failed page again with; null when the failure stands. */
    afterFailure(pageSize: number, error: SourceError): number | null {
      timeouts = error.code === 'timeout' ? timeouts + 1 : 0;
      if (!SHRINKS.has(error.code) || timeouts > MAX_TIMEOUTS_IN_A_ROW || pageSize <= min) return null;
      goodPages = 0;
      growAfter = Math.min(growAfter * 2, MAX_GROW_AFTER_PAGES);
      return Math.max(min, Math.floor(pageSize / 2));
    },
    /** Size to ask for the next page with. */
    afterPage(pageSize: number): number {
      timeouts = 0;
      goodPages += 1;
      if (pageSize >= size || goodPages < growAfter) return pageSize;
      goodPages = 0;
      return Math.min(pageSize * 2, size);
    },
  };
}

export type PageSizing = ReturnType<typeof createPageSizing>;
