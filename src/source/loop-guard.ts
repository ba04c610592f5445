/** Cursors looked back at one by one. Cursors are bounded in length, so this bounds the memory of a listing. */
const WINDOW = 1_000;

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
