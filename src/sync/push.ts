import { failureKind, isDatabaseAnswer } from '../db/failure.ts';
import { allOf } from '../lib/all-of.ts';
import type { Order } from '../model/push.ts';
import { callPush } from './call-push.ts';
import { claimPushes } from './claim-pushes.ts';
import type { PushFate } from './finish-push.ts';
import type { PushDeps } from './push-deps.ts';
import { claimUnknown, resolvePush } from './resolve-unknown.ts';

/** What one pass did. `looked`: pushes that were due; `calls`: requests that were to be sent. */
export type PushReport = {
  readonly looked: number;
  readonly calls: number;
  readonly settled: number;
  readonly again: number;
  readonly unknown: number;
  readonly parked: number;
};

type Begun = {
  /** Pushes that were due. */
  readonly looked: number;
  readonly parked: number;
  readonly calls: readonly Promise<PushFate>[];
};

/**
 * One pass over due pushes of a stream, up to `limit` requests side by side: each is decided on what its row holds
 * now, held by lease, sent, and ended as its answer says. A push that fails unexpectedly stays held until its lease ends,
 * and is then resolved as one of unknown outcome; the others go on.
 */
export async function pushOnce(
  deps: PushDeps,
  limit: number,
  signal: AbortSignal,
  order: Order = 'oldest',
): Promise<PushReport> {
  const { calls, looked, parked } = await beginPushes(deps, limit, signal, order);
  const counts = countFates(await allOf(calls));
  return { ...counts, looked, calls: calls.length, parked: parked + counts.parked };
}

/** As `pushOnce`, but returns once the requests are under way: `calls` tells what became of each. */
export async function beginPushes(deps: PushDeps, limit: number, signal: AbortSignal, order: Order): Promise<Begun> {
  if (signal.aborted) return { looked: 0, parked: 0, calls: [] };
  const { calls, looked, parked } = await claimPushes(deps, limit, order);
  if (calls.length > 0) await deps.crashPoint('C15');
  return { looked, parked, calls: calls.map((claimed) => safely(deps, () => callPush(deps, claimed, signal))) };
}

/**
 * One pass over up to `limit` pushes whose outcome is unknown: those of lost answers, and those that a worker held when it
 * died. Each is resolved by its echo, by the same request under the same key, or by reading. Only what does no harm, or may
 * be doubled by the definition, is sent anew in the dark, and that not without end.
 */
export async function resolveOnce(deps: PushDeps, limit: number, signal: AbortSignal): Promise<PushReport> {
  if (signal.aborted) return NOTHING;
  const { claimed, open, parked } = await claimUnknown(deps, limit);
  const fates = await allOf(open.map((one) => safely(deps, () => resolvePush(deps, one, signal))));
  const counts = countFates(fates);
  if (counts.again > 0) deps.wakePushes();
  return { ...counts, looked: claimed, calls: open.length, parked: parked + counts.parked };
}

async function safely(deps: PushDeps, work: () => Promise<PushFate>): Promise<PushFate> {
  try {
    return await work();
  } catch (error) {
    if (failureKind(error) === 'other' && !isDatabaseAnswer(error)) throw error;
    deps.log.warn({ ...deps.stream.key, err: error }, 'push interrupted; it is resolved when its lease ends');
    return { kind: 'lost' };
  }
}

const NOTHING: PushReport = { looked: 0, calls: 0, settled: 0, again: 0, unknown: 0, parked: 0 };

function countFates(fates: readonly PushFate[]) {
  const count = (kind: PushFate['kind']): number => fates.filter((fate) => fate.kind === kind).length;
  return { settled: count('settled'), again: count('again'), unknown: count('unknown'), parked: count('parked') };
}
