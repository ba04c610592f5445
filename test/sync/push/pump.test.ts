import file, { test } from 'tap';
import { pumpPushes } from '../../../src/sync/pump-pushes.ts';
import { createGate } from '../../helpers/gate.ts';
import type { Fate } from './fake-shop.ts';
import { sharePushes } from './world.ts';

const createWorld = sharePushes(file);
const SLOTS = 4;
const EDITS = 12;

/** Edited records, and a pump that stops at `stopping`. */
async function setup(t: Parameters<typeof createWorld>[0]) {
  const world = await createWorld(t);
  const ids = Array.from({ length: EDITS }, (_, place) => `c${place + 1}`);
  for (const id of ids) await world.known(id);
  for (const id of ids) await world.edited(id, { full_name: `New ${id}` });
  await world.plan();
  const stopping = new AbortController();
  const cutOff = new AbortController().signal;
  const how = { slots: SLOTS, pollMs: 5, order: 'oldest', stopping: stopping.signal, cutOff } as const;
  return { world, stopping, pump: () => pumpPushes(world.deps, how) };
}

/** Opened at the request with this number, once it has been carried out. */
function openAt(number: number) {
  const reached = createGate();
  let count = 0;
  const counting: Fate = {
    kind: 'with',
    after: async () => {
      count++;
      if (count === number) reached.open();
    },
  };
  return { counting, reached: reached.opened };
}

test('a slow answer holds up no push but its own, nor do as many as leave a slot', async (t) => {
  const { world, pump } = await setup(t);
  const held = createGate();
  const slow: Fate = { kind: 'with', after: () => held.opened };
  const { counting, reached } = openAt(EDITS - 3);
  world.shop.fates.push(slow, slow, slow, ...Array.from({ length: EDITS - 3 }, () => counting));
  const ended = pump();
  await reached;
  t.equal(world.shop.sent.length, EDITS, 'all others were sent while three answers were waited for');
  held.open();
  await ended;
  t.same(new Set(await world.states()), new Set(['update done']));
});

test('a pump that is stopped begins nothing more, and waits for what is under way', async (t) => {
  const { world, stopping, pump } = await setup(t);
  const held = createGate();
  const { counting, reached } = openAt(SLOTS);
  const after = async () => {
    if (counting.kind === 'with') await counting.after?.();
    await held.opened;
  };
  world.shop.fates.push(...Array.from({ length: SLOTS }, (): Fate => ({ kind: 'with', after })));
  const ended = pump();
  await reached;
  stopping.abort();
  held.open();
  await ended;
  t.equal(world.shop.sent.length, SLOTS);
  const states = await world.states();
  t.equal(states.filter((state) => state === 'update done').length, SLOTS);
  t.equal(states.filter((state) => state === 'update ready').length, EDITS - SLOTS);
});

test('what goes wrong unexpectedly is thrown once nothing is under way, and nothing is begun after it', async (t) => {
  const { world, pump } = await setup(t);
  const held = createGate();
  const boom: Fate = {
    kind: 'with',
    before: async () => {
      held.open();
      throw new TypeError('A defect of ours');
    },
  };
  world.shop.fates.push(
    boom,
    ...Array.from({ length: SLOTS - 1 }, (): Fate => ({ kind: 'with', after: () => held.opened })),
  );
  await t.rejects(pump(), { message: 'A defect of ours' });
  const states = await world.states();
  t.equal(states.filter((state) => state === 'update done').length, SLOTS - 1, 'the others had their answers');
  t.equal(world.shop.sent.length, SLOTS);
});
