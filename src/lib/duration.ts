const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A span of time as people write it: `500ms`, `30s`, `5m`, `1h`, `7d`. */
export type Duration = `${number}${keyof typeof UNIT_MS}`;

/** Milliseconds of a duration, or null when the text is none. */
export function parseDurationMs(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) return null;
  return Math.round(Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]);
}

/** Milliseconds of a duration that has been checked already. Throws on text that is none. */
export function durationMs(text: Duration): number {
  const ms = parseDurationMs(text);
  if (ms === null) throw new RangeError(`Not a duration: expected a number and ms, s, m, h or d`);
  return ms;
}
