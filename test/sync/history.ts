import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { Capabilities } from '../../src/model/capabilities.ts';
import { type Instant, instantFromMs } from '../../src/model/instant.ts';
import type { Content } from '../../src/model/observation.ts';

/** What one record was at its source from `at` on, until the next moment. */
export type Moment = {
  readonly index: number;
  readonly at: Instant;
  readonly content: Content | null;
  readonly version: bigint | null;
};

/** How the source of a simulated record behaves, and what was declared of it. */
export type SourceShape = {
  readonly caps: Capabilities;
  /** Timestamps are rounded down to it. */
  readonly tickMs: number;
  readonly payload: 'full' | 'thin' | 'partial';
};

/** Edits touch one field of two, out of few values, so that A→B→A and equal contents are common. */
export type Edit = {
  readonly gapMs: number;
  readonly what: 'first' | 'second' | 'touch' | 'delete';
  readonly value: number;
};

const START_MS = 1_000_000;

export const editsArbitrary: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.record({
    gapMs: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 900 }) }, fc.constant(1_200_000)),
    what: fc.constantFrom('first', 'first', 'second', 'touch', 'delete'),
    value: fc.integer({ min: 0, max: 2 }),
  }),
  { minLength: 1, maxLength: 7 },
);

/** The source's true history. A deleted record comes back at the next edit where ids return, else the history ends there. */
export function makeHistory(shape: SourceShape, edits: readonly Edit[]): readonly Moment[] {
  const moments: Moment[] = [];
  let atMs = START_MS;
  let content: Content | null = null;
  for (const edit of edits) {
    atMs += edit.gapMs;
    if (edit.what === 'delete' && content === null) continue;
    content = edited(content, edit);
    const index = moments.length;
    moments.push({ index, at: instantFromMs(atMs), content, version: versionAt(shape, index, atMs) });
    if (content === null && !shape.caps.canUndelete) break;
  }
  return moments;
}

function edited(content: Content | null, { what, value }: Edit): Content | null {
  if (what === 'delete') return null;
  if (content === null) return { first: value, second: 0 };
  return what === 'touch' ? content : { ...content, [what]: value };
}

function versionAt({ caps, tickMs }: SourceShape, index: number, atMs: number): bigint | null {
  if (caps.versionKind === 'none') return null;
  if (caps.versionKind === 'counter') return BigInt(index + 1);
  return BigInt(Math.floor(atMs / tickMs) * tickMs * 1000);
}

/** The moment in force at `at`; null before the record existed. */
export const momentAt = (history: readonly Moment[], at: Instant): Moment | null =>
  history.findLast((moment) => moment.at <= at) ?? null;

export const hashOf = (content: Content): string =>
  createHash('sha256')
    .update(JSON.stringify(Object.entries(content).sort(([left], [right]) => (left < right ? -1 : 1))))
    .digest('hex');

export const shapeOf = (
  over: Partial<Capabilities> = {},
  rest: Partial<Omit<SourceShape, 'caps'>> = {},
): SourceShape => ({
  caps: {
    versionKind: 'timestamp',
    versionSkew: 0n,
    canGet: true,
    readLagMs: 500,
    deleteEvents: 'unversioned',
    canUndelete: true,
    ...over,
  },
  tickMs: 1000,
  payload: 'full',
  ...rest,
});
