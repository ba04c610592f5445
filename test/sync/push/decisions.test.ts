import { test } from 'tap';
import type { ChangeToken } from '../../../src/model/change-token.ts';
import { addMs } from '../../../src/model/instant.ts';
import type { Push } from '../../../src/model/push.ts';
import { blankState, type RecordState } from '../../../src/model/record-state.ts';
import { decideAnswer, MAX_REJECTIONS } from '../../../src/sync/decide-answer.ts';
import { type ClaimInput, decideClaim } from '../../../src/sync/decide-claim.ts';
import {
  ABSENT_ONCE,
  decideUnknown,
  MAX_REPLAYS,
  REPLAY_REFUSED,
  type UnknownInput,
} from '../../../src/sync/decide-unknown.ts';
import type { PushAnswer } from '../../../src/sync/push-answer.ts';
import { twoWay } from '../two-way/world.ts';
import { writesWith } from './world.ts';

const NOW = 1_000_000_000_000;
const ROW = { id: 'c1', name: 'Ann', amount: 1, price: null, tags: null };

const push = (over: Partial<Push> = {}): Push => ({
  id: 'p1',
  op: 'update',
  carries: 'row',
  externalId: 'c1',
  targetKey: 'c1',
  state: 'ready',
  edits: 1,
  snapshot: null,
  patch: null,
  request: null,
  ifMatch: null,
  preVersion: null,
  tokenId: 't1',
  firstCallAt: null,
  deadline: null,
  runAt: NOW,
  editedAt: NOW,
  attempt: 1,
  leaseToken: null,
  parkReason: null,
  errorCode: null,
  error: null,
  ...over,
});

const live = (over: Partial<RecordState> = {}): RecordState => ({
  ...blankState('c1'),
  status: 'live',
  base: ROW,
  shadow: ROW,
  baseHash: 'h',
  version: 3n,
  etag: '"e3"',
  ...over,
});

const claim = (over: Partial<ClaimInput> = {}) =>
  decideClaim({
    twoWay: twoWay({ localDeletes: 'push' }),
    properties: Object.keys(ROW),
    push: push(),
    state: live(),
    row: ROW,
    hasOpenConflict: false,
    calls: 0,
    deleteHold: { isHeld: false, releasedAt: null },
    ...over,
  });

test('what a ready push means is decided by what its row holds, and never by what was planned', async (t) => {
  const edited = { ...ROW, name: 'Anna' };
  const none = { row: null };
  const { price: _, ...old } = ROW;
  const cases: readonly [name: string, over: Partial<ClaimInput>, expected: object][] = [
    ['nothing differs', {}, { kind: 'drop', undo: [] }],
    ['an edit', { row: edited }, { kind: 'call', op: 'update', externalId: 'c1', patch: { name: 'Anna' }, undo: [] }],
    ['an open conflict', { row: edited, hasOpenConflict: true }, { kind: 'leave' }],
    ['no shadow yet', { row: edited, state: live({ shadow: null }) }, { kind: 'reread' }],
    ['a read-only edit', { row: { ...ROW, amount: 2 } }, { kind: 'drop', undo: ['amount'] }],
    ['both', { row: { ...edited, amount: 2 } }, { kind: 'call', patch: { name: 'Anna' }, undo: ['amount'] }],
    ['a row that was never stored', { ...none, state: live({ shadow: null }) }, { kind: 'reread' }],
    ['a property mapped since', { row: { ...edited, price: '1' }, state: live({ shadow: old }) }, { kind: 'reread' }],
    ['a property that only the row knows', { row: edited, state: live({ base: old }) }, { kind: 'reread' }],
    ['over budget', { row: edited, calls: 10 }, { kind: 'park', reason: 'loop_suspected' }],
    ['over budget, with nothing to send', { calls: 10 }, { kind: 'drop' }],
    ['a new row', { state: null }, { kind: 'call', op: 'create', externalId: null, ifMatch: null }],
    ['a new row where a record was', { state: live({ status: 'tombstone' }) }, { kind: 'call', op: 'create' }],
    ['neither row nor record', { state: null, ...none }, { kind: 'drop' }],
    ['a removed row', none, { kind: 'call', op: 'delete', externalId: 'c1', patch: null, content: null }],
    [
      'a removed row, held',
      { ...none, deleteHold: { isHeld: true, releasedAt: NOW - 1 } },
      { kind: 'park', reason: 'mass_delete' },
    ],
    [
      'a removed row, held after it was released',
      { ...none, deleteHold: { isHeld: true, releasedAt: NOW } },
      { kind: 'call', op: 'delete' },
    ],
    ['a removed row to restore', { ...none, twoWay: twoWay() }, { kind: 'restore', content: ROW }],
    ['a removed row to detach', { ...none, twoWay: twoWay({ localDeletes: 'detach' }) }, { kind: 'drop' }],
    [
      'a removed row that the source would not delete',
      { ...none, twoWay: twoWay({ localDeletes: 'push', writes: { ...writesWith({}), delete: null } }) },
      { kind: 'restore' },
    ],
    [
      'a new row that the source would not take',
      { state: null, twoWay: twoWay({ writes: { ...writesWith({}), create: null } }) },
      { kind: 'park', reason: 'cannot_settle' },
    ],
  ];
  for (const [name, over, expected] of cases) t.match(claim(over), expected, name);
});

test('a request is bound to the tag or the version that we hold, where the source takes one', async (t) => {
  const row = { ...ROW, name: 'Anna' };
  const bound = (ifMatch: 'etag' | 'version' | null, state = live()) => {
    const decided = claim({ row, state, twoWay: twoWay({ writes: writesWith({ ifMatch }) }) });
    return decided.kind === 'call' ? decided.ifMatch : decided;
  };
  t.equal(bound('etag'), '"e3"');
  t.equal(bound('version'), '"3"');
  t.equal(bound(null), null);
  t.equal(bound('etag', live({ etag: null })), null);
});

test('where the source takes whole records, the whole row is sent, and only the edits count as pushed', async (t) => {
  const decided = claim({ row: { ...ROW, name: 'Anna' }, twoWay: twoWay({ writes: writesWith({ sends: 'record' }) }) });
  t.match(decided, { kind: 'call', patch: { name: 'Anna' }, content: { name: 'Anna', price: null, tags: null } });
  t.notOk(decided.kind === 'call' && decided.patch !== null && 'price' in decided.patch);
});

test('every answer says how its push goes on', async (t) => {
  const failed = { code: 'c', words: 'w' };
  const decide = (answer: Exclude<PushAnswer, { kind: 'done' }>, over: Partial<Push> = {}) =>
    decideAnswer({ push: push({ attempt: 3, ...over }), answer, now: NOW, readLagMs: 2_000, random: 0 });
  const conflict = { kind: 'conflict', ...failed } as const;
  const absent = { kind: 'absent', ...failed } as const;
  t.match(decide(conflict), {
    move: { to: 'again', runAt: addMs(NOW, 3_000), attempt: 3 },
    isRejected: true,
    isReread: true,
  });
  t.match(decide(absent), { move: { to: 'again' }, isRejected: true, isReread: true });
  t.match(decide(conflict, { attempt: MAX_REJECTIONS }), { move: { to: 'parked', reason: 'cannot_settle' } });
  t.match(decide(conflict, { op: 'create' }), { move: { to: 'parked', reason: 'refused' } });
  t.match(decide(absent, { op: 'create' }), { move: { to: 'parked', reason: 'refused' } });
  t.match(decide({ kind: 'refused', ...failed }), { move: { to: 'parked', reason: 'refused' }, isRejected: true });
  t.match(decide({ kind: 'refused', code: 'forbidden', words: 'w' }), {
    move: { to: 'parked', reason: 'refused', errorCode: 'forbidden' },
    isRejected: true,
    pause: null,
  });
  t.match(decide({ kind: 'unauthorized', ...failed }), { move: { to: 'again', attempt: 2 }, pause: 'c: w' });
  t.match(decide({ kind: 'later', waitMs: 9_000, isLimit: true, ...failed }), {
    move: { to: 'again', attempt: 2, runAt: addMs(NOW, 9_000) },
    blockUntil: addMs(NOW, 9_000),
  });
  t.match(decide({ kind: 'later', waitMs: null, isLimit: false, ...failed }), { blockUntil: null });
  t.match(decide({ kind: 'unknown', ...failed }), { move: { to: 'unknown' }, isRejected: false });
});

const token = (over: Partial<ChangeToken> = {}): ChangeToken => ({
  id: 't1',
  state: 'pending',
  externalId: 'c1',
  targetKey: 'c1',
  preHash: 'h',
  fieldHashes: { name: 'n' },
  resultHash: null,
  resultVersion: null,
  resultEtag: null,
  echo: null,
  seenCount: 0,
  createdAt: NOW,
  expiresAt: null,
  ...over,
});

test('an unknown outcome is found out by the best way that is open, and by none before its time', async (t) => {
  const REQUEST = {
    method: 'PATCH',
    path: '/',
    values: {},
    query: {},
    headers: {},
    body: '{}',
    protocol: 'rest',
  } as const;
  const sent = { state: 'unknown', request: REQUEST, firstCallAt: NOW, deadline: addMs(NOW, 50_000) } as const;
  const created = { op: 'create', externalId: null } as const;
  const KEYS = { header: 'k', ttlMs: 3_600_000 };
  const MARKER = { field: 'origin', searchParam: 'origin' };
  const SILENT = { field: 'origin', searchParam: null };
  type Over = Partial<Omit<UnknownInput, 'push'>> & { push?: Partial<Push>; afterMs?: number };
  const budget = { calls: 10, perMs: 600_000 };
  const by = (over: object) => ({ idempotency: null, marker: null, mayDuplicateCreates: false, budget, ...over });
  const decide = ({ push: pushed, afterMs = 0, ...over }: Over) =>
    decideUnknown({
      push: push({ ...sent, ...pushed }),
      token: token(),
      twoWay: by({}),
      sentAgain: 0,
      canGet: true,
      readLagMs: 2_000,
      now: addMs(NOW, afterMs),
      ...over,
    });
  const echo = { externalId: 'c1' } as ChangeToken['echo'];
  const done = token({ state: 'confirmed', externalId: null });
  const cases: readonly [name: string, over: Over, expected: object][] = [
    ['an echo', { token: token({ echo }) }, { kind: 'echo' }],
    ['a key', { twoWay: by({ idempotency: KEYS }) }, { kind: 'replay' }],
    ['a key that is too old', { twoWay: by({ idempotency: KEYS }), afterMs: 3_590_000 }, { kind: 'read' }],
    [
      'a refused repeat',
      { twoWay: by({ idempotency: KEYS }), push: { errorCode: REPLAY_REFUSED }, afterMs: 60_000 },
      { kind: 'read' },
    ],
    [
      'a refused repeat of a create that nothing else can tell of',
      { twoWay: by({ idempotency: KEYS }), push: { ...created, errorCode: REPLAY_REFUSED }, afterMs: 60_000 },
      { kind: 'replay' },
    ],
    [
      'too many repeats',
      { twoWay: by({ idempotency: KEYS }), push: { ...created, attempt: MAX_REPLAYS + 1 }, afterMs: 60_000 },
      { kind: 'park' },
    ],
    ['before the deadline', { afterMs: 49_000 }, { kind: 'wait', until: addMs(NOW, 52_000) + 1 }],
    ['within the read lag of it', { afterMs: 51_999 }, { kind: 'wait' }],
    ['after it', { afterMs: 53_000 }, { kind: 'read', externalId: 'c1', isAccepted: false }],
    ['done, and not shown', { token: token({ state: 'confirmed' }) }, { kind: 'read', isAccepted: true }],
    ['after it, where nothing can be read', { canGet: false, afterMs: 53_000 }, { kind: 'again' }],
    ['a create', { push: created, afterMs: 53_000 }, { kind: 'park' }],
    ['a create before its deadline', { push: created }, { kind: 'wait' }],
    [
      'a create to search for',
      { push: created, twoWay: by({ marker: MARKER }), afterMs: 53_000 },
      { kind: 'search', wasAbsent: false },
    ],
    [
      'a create not found once',
      {
        push: { ...created, errorCode: ABSENT_ONCE },
        twoWay: by({ marker: MARKER, idempotency: KEYS }),
        afterMs: 53_000,
      },
      { kind: 'search', wasAbsent: true },
    ],
    [
      'a create that may come back',
      { push: created, twoWay: by({ marker: SILENT }), afterMs: 53_000 },
      { kind: 'wait' },
    ],
    ['a create that did not', { push: created, twoWay: by({ marker: SILENT }), afterMs: 700_000 }, { kind: 'park' }],
    [
      'a create that may be doubled',
      { push: created, twoWay: by({ mayDuplicateCreates: true }), afterMs: 53_000 },
      { kind: 'again' },
    ],
    [
      'a create that was doubled as often as its row may be called',
      { push: created, twoWay: by({ mayDuplicateCreates: true }), sentAgain: 9, afterMs: 53_000 },
      { kind: 'park', code: 'create_unknown' },
    ],
    [
      'a create that is done, whatever may be doubled',
      { push: created, token: done, twoWay: by({ mayDuplicateCreates: true, idempotency: KEYS }), afterMs: 53_000 },
      { kind: 'park', code: 'created_unseen' },
    ],
    [
      'a create that is done and can be searched for',
      { push: created, token: done, twoWay: by({ marker: MARKER, idempotency: KEYS }) },
      { kind: 'search', wasAbsent: false, isAccepted: true },
    ],
    [
      'a create that is done and is not found',
      {
        push: { ...created, errorCode: ABSENT_ONCE },
        token: done,
        twoWay: by({ marker: MARKER, mayDuplicateCreates: true }),
        afterMs: 700_000,
      },
      { kind: 'park', code: 'created_unseen' },
    ],
    [
      'a create that is done and may come back',
      { push: created, token: done, twoWay: by({ marker: SILENT }), afterMs: 53_000 },
      { kind: 'wait', until: addMs(NOW, 650_000) },
    ],
  ];
  for (const [name, over, expected] of cases) t.match(decide(over), expected, name);
});
