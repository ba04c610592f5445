/** The shop's own clock. Stamps are coarse on purpose: several changes of one record can carry the same one. */
export type ShopClock = {
  readonly tickMs: number;
  nowMs(): number;
  /** The present tick as the shop writes instants, all of one width: they sort as text. */
  tick(): string;
  format(atMs: number): string;
  /** The first stamp at or after `atMs`. */
  formatFrom(atMs: number): string;
};

const SECOND_MS = 1_000;

/** Runs on `nowMs`, but never backwards: a version must not decrease because the machine's clock was set. */
export function createShopClock({ nowMs, tickMs }: { nowMs: () => number; tickMs: number }): ShopClock {
  let latestMs = 0;
  const now = () => {
    latestMs = Math.max(latestMs, nowMs());
    return latestMs;
  };
  const isWholeSeconds = tickMs % SECOND_MS === 0;
  const format = (atMs: number) => {
    const text = new Date(atMs).toISOString();
    return isWholeSeconds ? `${text.slice(0, 19)}Z` : text;
  };
  return {
    tickMs,
    nowMs: now,
    tick: () => format(Math.floor(now() / tickMs) * tickMs),
    format,
    formatFrom: (atMs) => format(isWholeSeconds ? Math.ceil(atMs / SECOND_MS) * SECOND_MS : atMs),
  };
}
