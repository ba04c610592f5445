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
  const fingerprint = createFingerprint();
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

/**
 * Of a page with items, in 64 bits. Its ends and their number are enough: records differ at least in their ids. Equal
 * pages have equal ones; that two others have is as good as impossible, and nobody gains by making it happen. Written out
 * as JSON and hashed by `crypto`, the ends cost five times as much, an eighth of what a page of 100 costs here.
 */
function createFingerprint() {
  const lanes = new Int32Array(2);
  const float = new Float64Array(1);
  const words = new Int32Array(float.buffer);

  function mixText(text: string): void {
    let low = lanes[0] ?? 0;
    let high = lanes[1] ?? 0;
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      low = Math.imul(low ^ unit, 0x0100_0193);
      high = (Math.imul(high ^ unit, 0x85eb_ca6b) + 0x01b3) | 0;
    }
    lanes[0] = low;
    lanes[1] = high;
    mix(text.length);
  }

  function mix(word: number): void {
    const low = Math.imul((lanes[0] ?? 0) ^ word, 0x9e37_79b1);
    const high = Math.imul((lanes[1] ?? 0) ^ word, 0xc2b2_ae35);
    lanes[0] = low ^ (low >>> 15);
    lanes[1] = high ^ (high >>> 13);
  }

  /** A source can nest deeper than a stack reaches. */
  function mixUpTo(depth: number, value: unknown): void {
    if (typeof value === 'string') {
      mix(MARK.string);
      mixText(value);
    } else if (typeof value === 'number') {
      mix(MARK.number);
      float[0] = value;
      mix(words[0] ?? 0);
      mix(words[1] ?? 0);
    } else if (Array.isArray(value)) {
      mix(MARK.array);
      mix(value.length);
      if (depth > 0) for (const inner of value) mixUpTo(depth - 1, inner);
    } else if (isObject(value)) {
      mix(MARK.object);
      for (const key in value) {
        if (depth === 0) break;
        mixText(key);
        mixUpTo(depth - 1, value[key]);
      }
      mix(MARK.end);
    } else {
      mixText(String(value));
    }
  }

  return (items: readonly unknown[]): string => {
    lanes.fill(0);
    mixUpTo(FINGERPRINT_DEPTH, items[0]);
    mixUpTo(FINGERPRINT_DEPTH, items.at(-1));
    return `${items.length} ${lanes[0]} ${lanes[1]}`;
  };
}

/** So that `["a"]` and `{"a": …}`, or `1` and `"1"`, are told apart. */
const MARK = { string: 1, number: 2, array: 3, object: 4, end: 5 } as const;

const isObject = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === 'object' && value !== null;
