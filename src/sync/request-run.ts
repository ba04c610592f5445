import { uuidv7 } from 'uuidv7';
import type { Db } from '../db/connect.ts';
import type { Instant } from '../model/instant.ts';
import type { Run, RunMode, RunTrigger } from '../model/run.ts';
import { queueRun } from '../store/runs.ts';
import { readStream } from '../store/streams.ts';
import { type Stream, streamName } from './stream.ts';

export type RunWish = {
  /** Left out: incremental where the source can tell what changed and a full run has been made, else full. */
  readonly mode: 'incremental' | 'full' | null;
  readonly since: Instant | null;
  readonly ids: readonly string[] | null;
  readonly isDryRun: boolean;
  readonly trigger: RunTrigger;
};

export type RunAnswer =
  | { readonly kind: 'queued' | 'under_way'; readonly run: Run }
  | { readonly kind: 'impossible'; readonly reason: string };

/** Queues a run of a stream, or names the one under way. Which one wins among replicas the database decides. */
export async function requestRun(db: Db, stream: Stream, wish: RunWish): Promise<RunAnswer> {
  const reason = whyImpossible(stream, wish);
  if (reason !== null) return { kind: 'impossible', reason };
  return await queueRun(db, {
    id: uuidv7(),
    ...stream.key,
    mode: await modeOf(db, stream, wish),
    trigger: wish.trigger,
    isDryRun: wish.isDryRun,
    since: wish.since,
    onlyIds: wish.ids,
  });
}

function whyImpossible(stream: Stream, { mode, since, ids, isDryRun }: RunWish): string | null {
  const name = streamName(stream.key);
  if (ids !== null && stream.get === null) return `${name} cannot be read by id: its definition has no read.get`;
  if (ids !== null && isDryRun) return 'ids and dryRun do not go together: a read by id is applied as it comes';
  if (ids !== null && (mode !== null || since !== null)) return 'ids go with neither mode nor since';
  if (stream.changedSince !== null) {
    if (since !== null && mode === 'full') return 'since goes with an incremental run only';
    if (since !== null && stream.caps.versionKind !== 'timestamp')
      return `${name} orders by a counter: since is no moment there`;
    return null;
  }
  if (mode === 'incremental' || since !== null) {
    return `${name} cannot be asked for changes: its definition has no read.changedSince; run it in full`;
  }
  return null;
}

async function modeOf(db: Db, stream: Stream, { mode, since, ids }: RunWish): Promise<RunMode> {
  if (ids !== null) return 'ids';
  if (since !== null) return 'incremental';
  if (mode !== null) return mode;
  if (stream.changedSince === null) return 'full';
  const progress = await readStream(db, stream.key);
  return progress?.needsFullAt === null ? 'incremental' : 'full';
}
