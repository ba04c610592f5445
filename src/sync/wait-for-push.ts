import { setTimeout as wait } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import type { StreamKey } from '../model/observation.ts';
import { type ListedPush, readPush, readPushesOf } from '../store/push-list.ts';
import { readPause } from './source-status.ts';

/** How long a caller waits for its edit to reach the source before it is answered with how things stand. */
const MAX_WAIT_MS = 60_000;
const POLL_MS = 50;
const MAX_FOLLOWED = 20;

/**
 * Waits until what a push was to bring has reached the source, was parked, or turns out to be unknown; a minute at most, and
 * not at all while its integration is paused. A push that the source did not carry out is followed by another of the same
 * row: then that one is waited for. @returns the push that is the last one, as it stands; null when there is none any more.
 */
export async function waitForPush(db: Db, id: string, over: AbortSignal): Promise<ListedPush | null> {
  let push = await readPush(db, id);
  for (let waitedMs = 0; push !== null && waitedMs < MAX_WAIT_MS && !over.aborted; waitedMs += POLL_MS) {
    const next = push.state === 'done' && push.errorCode !== null ? await successorOf(db, push) : null;
    if (next === null && !isMoving(push)) return push;
    if (next !== null) push = next;
    if (!isMoving(push)) return push;
    if ((await readPause(db, push.integration)) !== null) return push;
    await wait(POLL_MS, undefined, { signal: over }).catch(() => {});
    push = await readPush(db, push.id);
  }
  return push;
}

export const isMoving = ({ state }: ListedPush): boolean => state === 'ready' || state === 'calling';

async function successorOf(db: Db, push: ListedPush): Promise<ListedPush | null> {
  const key: StreamKey = { integration: push.integration, entity: push.entity };
  const { externalId, targetKey } = push;
  const pushes = await readPushesOf(db, key, { externalId, targetKey }, MAX_FOLLOWED);
  return pushes.find(({ id, state }) => id !== push.id && state !== 'done') ?? null;
}
