import { TOKEN_TTL_MS } from '../../src/model/change-token.ts';
import { addMs, type Instant } from '../../src/model/instant.ts';
import { type HeldPush, LOOP_RETRIED, type Push, type PushWish, SENT_AGAIN } from '../../src/model/push.ts';
import type { PushMove, RecordTx } from '../../src/sync/record-store.ts';
import { type MemoryDeps, type Recording, uniqueViolation } from './memory-store.ts';
import type { PushRow, Tables } from './tables.ts';

type Outbox = Pick<
  RecordTx,
  | 'flightsOf'
  | 'flightsIn'
  | 'movePush'
  | 'openCreates'
  | 'ensurePushes'
  | 'dropPushes'
  | 'openOf'
  | 'lastEditsOf'
  | 'duePushes'
  | 'lockReady'
  | 'claimUnknown'
  | 'moveDeadline'
  | 'startCall'
  | 'startRequest'
  | 'lockPush'
  | 'parkedPushes'
  | 'dropParked'
  | 'countRemovals'
  | 'lockHeld'
  | 'finishPush'
  | 'countCalls'
  | 'countSentAgain'
>;

const isInFlight = ({ state }: Push): boolean => state === 'calling' || state === 'unknown';
/** A create that the source may have carried out stands in the way of every other push of its row. */
const isInDoubt = ({ state, op, parkReason, tokenId }: PushRow): boolean =>
  state === 'parked' &&
  op === 'create' &&
  tokenId !== null &&
  (parkReason === 'create_unknown' || parkReason === 'cannot_settle');
/** Of unknown outcome and due, or settled by an echo, or left by a worker that lost its lease. */
export function isOpen({ tokens }: Tables, row: PushRow, now: Instant): boolean {
  if (row.leaseExpiresAt !== null) return row.leaseExpiresAt < now;
  return row.runAt <= now || (row.tokenId !== null && tokens.get(row.tokenId)?.echo != null);
}
/** Null: nobody knows when. */
const laterOf = (one: Instant | null, other: Instant | null): Instant | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other);
const sortByTime = (left: Push, right: Push): number => left.runAt - right.runAt;

/** The outbox in memory, with the unique indexes of the database. */
export function outboxOf({ tables, clock, newId }: MemoryDeps, recording: Recording): Outbox {
  const { pushes } = tables;
  const find = (is: (row: PushRow) => boolean): PushRow[] => {
    const found: PushRow[] = [];
    for (const row of pushes.rows.values()) if (is(row)) found.push(row);
    return found;
  };
  const put = (row: PushRow): void => {
    const isReady = row.state === 'ready';
    if (isReady || isInFlight(row)) {
      const rival = find(
        (other) =>
          other.id !== row.id &&
          other.targetKey === row.targetKey &&
          (isReady ? other.state === 'ready' : isInFlight(other)),
      );
      if (rival.length > 0) throw uniqueViolation(isReady ? 'outbox_pushes_ready' : 'outbox_pushes_single_flight');
    }
    pushes.set(row.id, row);
  };
  const ensure = (wish: PushWish, attempt = 0): string => {
    const [ready] = find(({ state, targetKey }) => state === 'ready' && targetKey === wish.targetKey);
    const op = wish.isRemoval ? ('delete' as const) : ('update' as const);
    if (wish.isRemoval) tables.removals.set(wish.targetKey, wish.editedAt ?? clock.at());
    if (ready === undefined) {
      const made = { ...blankPush(newId(), wish), op, attempt };
      put(made);
      return made.id;
    }
    put({
      ...ready,
      externalId: wish.externalId ?? ready.externalId,
      op: wish.edits === 0 ? ready.op : op,
      edits: ready.edits + wish.edits,
      runAt: Math.min(ready.runAt, wish.runAt),
      editedAt: laterOf(ready.editedAt, wish.editedAt),
    });
    return ready.id;
  };
  const isBlocked = (): boolean => {
    const { blockedUntil, pausedForAuth } = tables.progress.get();
    return pausedForAuth || (blockedUntil !== null && blockedUntil > clock.at());
  };
  const hold = (row: PushRow, leaseMs: number): HeldPush => {
    const leaseToken = newId();
    const held = {
      ...row,
      state: 'unknown' as const,
      attempt: row.attempt + 1,
      leaseToken,
      leaseExpiresAt: addMs(clock.at(), leaseMs),
    };
    put(held);
    return held;
  };

  return {
    async flightsOf(ids) {
      const flights = find((row) => isInFlight(row) && row.externalId !== null && ids.includes(row.externalId));
      return new Map(flights.flatMap((row) => (row.externalId === null ? [] : [[row.externalId, row]])));
    },
    flightsIn: async (targetKeys) =>
      new Map(find((row) => isInFlight(row) && targetKeys.includes(row.targetKey)).map((row) => [row.targetKey, row])),
    async openCreates({ targetKeys, tokenIds }) {
      const creates = find(({ op }) => op === 'create');
      const calls = creates.filter(isInFlight).map(({ firstCallAt }) => firstCallAt ?? clock.at());
      return {
        oldestCallAt: calls.length === 0 ? null : Math.min(...calls),
        named: creates.filter((row) => isNamed(tables, row, { targetKeys, tokenIds })),
      };
    },
    async ensurePushes(wishes) {
      return new Map(wishes.map((wish) => [wish.targetKey, ensure(wish)]));
    },
    async openOf(targetKeys) {
      const open = [...pushes.rows.values(), ...tables.conflicts.rows.values()].filter((one) =>
        'state' in one ? one.state !== 'done' : one.outcome === null,
      );
      return new Set(open.flatMap(({ targetKey }) => (targetKeys.includes(targetKey) ? [targetKey] : [])));
    },
    async lastEditsOf(targetKeys) {
      const last = new Map<string, Instant>();
      const note = (key: string, at: Instant): void => {
        if (targetKeys.includes(key)) last.set(key, Math.max(last.get(key) ?? at, at));
      };
      for (const { targetKey, at } of tables.changes.rows.values()) note(targetKey, at);
      for (const { state, targetKey, editedAt } of pushes.rows.values())
        if (state !== 'done' && editedAt !== null) note(targetKey, editedAt);
      return last;
    },
    async movePush(from, to, externalId) {
      const [ready] = find(({ state, targetKey }) => state === 'ready' && targetKey === from);
      if (ready === undefined) return;
      pushes.remove(ready.id);
      const [other] = find(({ state, targetKey }) => state === 'ready' && targetKey === to);
      if (other === undefined) put({ ...ready, targetKey: to, externalId });
      else ensure({ ...wishOf(ready), targetKey: to, externalId });
    },
    async dropPushes(targetKeys) {
      for (const row of find(({ state, targetKey }) => state === 'ready' && targetKeys.includes(targetKey)))
        pushes.remove(row.id);
    },
    async duePushes(limit, order) {
      if (isBlocked()) return [];
      return find((row) => isDue(tables, row, clock.at()))
        .sort(order === 'newest' ? (a, b) => sortByTime(b, a) : sortByTime)
        .slice(0, limit);
    },
    lockReady: async (ids) => find((row) => row.state === 'ready' && ids.includes(row.id) && !isBarred(tables, row)),
    async claimUnknown(limit, leaseMs) {
      const now = clock.at();
      const mayAsk = !isBlocked();
      const hasEcho = ({ tokenId }: PushRow) => tokenId !== null && tables.tokens.get(tokenId)?.echo != null;
      const due = find((row) => isInFlight(row) && isOpen(tables, row, now) && (mayAsk || hasEcho(row)));
      return due
        .sort(sortByTime)
        .slice(0, limit)
        .map((row) => hold(row, leaseMs));
    },
    async moveDeadline(push, deadline) {
      const row = pushes.get(push.id);
      if (row === undefined || row.leaseToken !== push.leaseToken) return false;
      put({ ...row, deadline });
      return true;
    },
    async startRequest() {
      throw new Error('The simulated server writes to the source from its rows only');
    },
    lockPush: async (id) => pushes.get(id) ?? null,
    async parkedPushes({ reason, errorCode }, { until, after, limit }) {
      return find(
        (row) =>
          row.state === 'parked' &&
          (reason === null || row.parkReason === reason) &&
          (errorCode === null || row.errorCode === errorCode) &&
          // When it was made is not kept here; none is parked before it was called, or found to be unmappable.
          (row.firstCallAt ?? until) <= until &&
          (after === null || row.id > after),
      )
        .sort((left, right) => (left.id < right.id ? -1 : 1))
        .slice(0, limit);
    },
    async dropParked(targetKeys) {
      for (const row of find(({ state, targetKey }) => state === 'parked' && targetKeys.includes(targetKey)))
        end(tables, row, clock.at());
    },
    countRemovals: async (since) => [...tables.removals.rows.values()].filter((at) => at > since).length,
    async startCall(push, { leaseMs, ...call }) {
      const row = pushes.get(push.id);
      if (row?.state !== 'ready') recording.faults.push('a call is started for a push that is not ready');
      const now = clock.read();
      const leaseToken = newId();
      const held = {
        ...push,
        ...call,
        state: 'calling' as const,
        firstCallAt: now,
        attempt: push.attempt + 1,
        leaseToken,
        leaseExpiresAt: addMs(now, leaseMs),
      };
      put(held);
      const made = { at: now, tokenId: call.tokenId };
      tables.calls.set(push.targetKey, [...(tables.calls.get(push.targetKey) ?? []), made]);
      return held;
    },
    async lockHeld(push) {
      const row = pushes.get(push.id);
      return row !== undefined && row.leaseToken === push.leaseToken ? { ...row, leaseToken: push.leaseToken } : null;
    },
    async finishPush(push, move) {
      const row = pushes.get(push.id);
      if (row === undefined) recording.faults.push('a push that is over is finished again');
      else if (row.leaseToken !== push.leaseToken) recording.faults.push('a push is finished under a lost lease');
      else finish(tables, row, move, { put, ensure, now: clock.at() });
    },
    countCalls: async (targetKeys, since) =>
      new Map(
        targetKeys.map((targetKey) => [
          targetKey,
          (tables.calls.get(targetKey) ?? []).filter(
            ({ at, tokenId, isSentAgain }) =>
              at >= since && (isSentAgain === true || tables.tokens.get(tokenId)?.state !== 'rejected'),
          ).length,
        ]),
      ),
    countSentAgain: async (targetKey) =>
      (tables.calls.get(targetKey) ?? []).filter(({ isSentAgain }) => isSentAgain).length,
  };
}

type Moving = {
  readonly put: (row: PushRow) => void;
  readonly ensure: (wish: PushWish, attempt: number) => string;
  readonly now: Instant;
};

function finish(tables: Tables, row: PushRow, move: PushMove, { put, ensure, now }: Moving): void {
  const { pushes, calls } = tables;
  const free = { leaseToken: null, leaseExpiresAt: null };
  switch (move.to) {
    case 'done':
      end(tables, row, now);
      if (move.errorCode === LOOP_RETRIED) calls.set(row.targetKey, []);
      break;
    case 'again':
      end(tables, row, now);
      if (move.errorCode === SENT_AGAIN)
        calls.set(
          row.targetKey,
          (calls.get(row.targetKey) ?? []).map((call) =>
            call.tokenId === row.tokenId ? { ...call, isSentAgain: true } : call,
          ),
        );
      ensure({ ...wishOf(row), runAt: move.runAt }, move.attempt);
      break;
    case 'unknown':
      put({ ...row, ...free, state: 'unknown', runAt: move.runAt, errorCode: move.errorCode, error: move.error });
      break;
    case 'parked':
      for (const other of [...pushes.rows.values()])
        if (other.state === 'parked' && other.targetKey === row.targetKey) end(tables, other, now);
      put({ ...row, ...free, state: 'parked', parkReason: move.reason, errorCode: move.errorCode, error: move.error });
      break;
  }
}

/** Nobody looks any more for the write of a push that is over. */
function end({ pushes, tokens }: Tables, row: PushRow, now: Instant): void {
  pushes.remove(row.id);
  const token = row.tokenId === null ? undefined : tokens.get(row.tokenId);
  if (token?.state === 'pending')
    tokens.set(token.id, { ...token, state: 'rejected', expiresAt: addMs(now, TOKEN_TTL_MS) });
}

/** Under way and of one of these rows, or not settled and of one of these tokens. */
function isNamed(
  { tokens }: Tables,
  row: PushRow,
  { targetKeys, tokenIds }: { readonly targetKeys: readonly string[]; readonly tokenIds: readonly string[] },
): boolean {
  if (isInFlight(row) && targetKeys.includes(row.targetKey)) return true;
  if (row.tokenId === null || !tokenIds.includes(row.tokenId)) return false;
  const token = tokens.get(row.tokenId);
  return isInFlight(row) || (row.state === 'parked' && token?.state !== 'rejected' && token?.echo === null);
}

const wishOf = ({ op, targetKey, externalId, edits, runAt, editedAt }: Push): PushWish => ({
  targetKey,
  externalId,
  edits,
  runAt,
  editedAt,
  isRemoval: op === 'delete',
});

/** A ready push whose time has come and that nothing stands in the way of. */
export function isDue({ pushes, conflicts }: Tables, row: PushRow, now: Instant): boolean {
  if (row.state !== 'ready' || row.runAt > now) return false;
  return !isBarred({ pushes, conflicts }, row);
}

/** Something stands in its way that its own time does not move. */
export function isBarred({ pushes, conflicts }: Pick<Tables, 'pushes' | 'conflicts'>, row: PushRow): boolean {
  for (const other of pushes.rows.values())
    if (other.targetKey === row.targetKey && (isInFlight(other) || isInDoubt(other))) return true;
  for (const { targetKey, outcome } of conflicts.rows.values())
    if (outcome === null && targetKey === row.targetKey) return true;
  return false;
}

const blankPush = (id: string, { targetKey, externalId, edits, runAt, editedAt }: PushWish): PushRow => ({
  id,
  carries: 'row',
  op: 'update',
  externalId,
  targetKey,
  state: 'ready',
  edits,
  snapshot: null,
  patch: null,
  request: null,
  ifMatch: null,
  preVersion: null,
  tokenId: null,
  firstCallAt: null,
  deadline: null,
  runAt,
  editedAt,
  attempt: 0,
  leaseToken: null,
  parkReason: null,
  errorCode: null,
  error: null,
  leaseExpiresAt: null,
});
