import type { Answer } from './answer.ts';

/** What a source does with the key of a request. */
export type KeyCheck =
  | { readonly kind: 'new' }
  /** The same request was answered before: its answer, as it was. */
  | { readonly kind: 'replay'; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly reason: 'other_request' | 'under_way' };

/**
 * Remembers answers by idempotency key for a time, as Stripe does: a key stands for one request, byte for byte, and only
 * what was carried out is kept, so that a refused request may come again corrected.
 */
export type IdempotencyStore = {
  check(key: string, request: string): KeyCheck;
  begin(key: string, request: string): void;
  /** Null: nothing was carried out, and the key is free again. */
  finish(key: string, answer: Answer | null): void;
};

type Kept = { readonly request: string; readonly expiresAtMs: number; answer: Answer | null };

const MAX_KEYS = 100_000;

export function createIdempotencyStore(deps: { nowMs: () => number; ttlMs: () => number }): IdempotencyStore {
  /** In the order of their beginning, so the oldest come first. */
  const keys = new Map<string, Kept>();
  const forgetOld = () => {
    for (const [key, { expiresAtMs }] of keys) {
      if (expiresAtMs > deps.nowMs() && keys.size <= MAX_KEYS) return;
      keys.delete(key);
    }
  };
  return {
    check(key, request) {
      forgetOld();
      const kept = keys.get(key);
      if (kept === undefined || kept.expiresAtMs <= deps.nowMs()) return { kind: 'new' };
      if (kept.request !== request) return { kind: 'refused', reason: 'other_request' };
      return kept.answer === null ? { kind: 'refused', reason: 'under_way' } : { kind: 'replay', answer: kept.answer };
    },
    begin: (key, request) => void keys.set(key, { request, expiresAtMs: deps.nowMs() + deps.ttlMs(), answer: null }),
    finish(key, answer) {
      const kept = keys.get(key);
      if (answer === null) keys.delete(key);
      else if (kept !== undefined) kept.answer = answer;
    },
  };
}
