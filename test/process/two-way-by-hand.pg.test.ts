import { test } from 'tap';
import { until } from '../app/setup.ts';
import { skipWithoutPostgres } from '../helpers/postgres.ts';
import { ROUNDS, startTwoWay } from './torture/world.ts';

const skip = skipWithoutPostgres();

const writesOf = async ({ source }: Pick<Awaited<ReturnType<typeof startTwoWay>>, 'source'>, id: string | undefined) =>
  (await source.writes()).byRecord.items[id ?? ''] ?? { received: 0, executed: 0 };

test('a row that another user updates is at the source with exactly one call, and a lost answer makes no second one', {
  skip,
}, async (t) => {
  const world = await startTwoWay(t, ['a', 'b']);
  const { clerk, sql, source, row, record } = world;
  const server = await world.serve();
  await world.filled();
  const id = (await row('a'))?.id;

  const began = performance.now();
  await clerk`UPDATE torture_items SET name = ' From psql ' WHERE ref = 'a'`;
  await until('the source has it', async () => (await record('a'))?.name === 'From psql', ROUNDS);
  t.comment(`at the source after ${Math.round(performance.now() - began)} ms`);
  await world.still();
  t.same(await writesOf(world, id), { received: 1, executed: 1 });
  t.equal((await row('a'))?.name, 'From psql', 'the row has the form that the source gave it');

  await source.set({ writeTimeoutAfter: 1 });
  await clerk`UPDATE torture_items SET name = 'Answer lost' WHERE ref = 'a'`;
  const unknown = async () =>
    (await (await fetch(`${server.address}/pushes?state=unknown`)).json()) as { pushes: { recordId: string }[] };
  await until('the outcome is unknown', async () => (await unknown()).pushes[0]?.recordId === id, ROUNDS);
  t.equal((await record('a'))?.name, 'Answer lost');
  await source.set({ writeTimeoutAfter: 0 });
  await world.still();
  t.equal((await writesOf(world, id)).executed, 2, 'it was done once');
  const [last] = await sql`SELECT p.state, t.state AS token FROM sync.outbox_pushes AS p
    JOIN sync.change_tokens AS t ON t.id = p.token_id ORDER BY p.created_at DESC LIMIT 1`;
  t.same(last, { state: 'done', token: 'confirmed' });
  t.equal((await server.stop()).code, 0);
});

test('one field edited on both sides: each policy lets one value stand, and the other is in /conflicts', {
  skip,
}, async (t) => {
  const world = await startTwoWay(t, ['a']);
  const { clerk, source, row, record } = world;
  const first = await world.serve();
  await world.filled();
  await world.still();
  await first.stop();
  const id = (await row('a'))?.id ?? '';
  const before = await writesOf(world, id);

  await source.edit({ op: 'update', ref: 'a', fields: { name: 'theirs', note: 'theirs', label: 'theirs', amount: 7 } });
  // Later by more than the clocks may differ.
  await until('the source has another second', () => Date.now() % 5_000 < 500, ROUNDS);
  await clerk`UPDATE torture_items SET name = 'ours', note = 'ours', label = 'ours', amount = 8 WHERE ref = 'a'`;
  const server = await world.serve();
  type Listed = { id: string; fields: string[]; policy: string; state: string; local: unknown; remote: unknown };
  const conflicts = async () =>
    ((await (await fetch(`${server.address}/conflicts?limit=50`)).json()) as { conflicts: Listed[] }).conflicts;
  await until('the sides have met', async () => (await conflicts()).length > 0, ROUNDS);
  await world.still();
  const open = (await conflicts()).find(({ fields }) => fields.includes('label'));
  t.match(open, { local: { label: 'ours' }, remote: { label: 'theirs' } });
  const resolved = await fetch(`${server.address}/conflicts/${open?.id}/resolve`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ choose: { label: 'local' } }),
  });
  t.equal(resolved.status, 200, await resolved.text());
  await world.still();

  const expected = { name: 'theirs', note: 'ours', label: 'ours' };
  t.match(await row('a'), expected);
  t.match(await record('a'), expected);
  t.equal((await row('a'))?.amount, (await record('a'))?.amount);
  const kept = JSON.stringify(await conflicts());
  t.match(kept, /"name":"ours"/);
  t.match(kept, /"note":"theirs"/);
  t.match(kept, /"label":"theirs"/);
  const { executed } = await writesOf(world, id);
  t.ok(executed - before.executed <= 2, `${executed - before.executed} writes for one edit and one decision`);
  t.equal((await server.stop()).code, 0);
});

test("edits that a user's own trigger makes while we write are captured and sent, and end after one", {
  skip,
}, async (t) => {
  const world = await startTwoWay(t, ['a', 'b']);
  const { clerk, sql, source, row, record } = world;
  const server = await world.serve();
  await world.filled();
  await sql.unsafe(`CREATE FUNCTION note_other() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE torture_items SET note = NEW.name WHERE ref = 'b'; RETURN NULL; END $$;
    CREATE TRIGGER users_own AFTER UPDATE OF name ON torture_items FOR EACH ROW
      WHEN (NEW.ref = 'a' AND OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION note_other()`);
  await source.edit({ op: 'update', ref: 'a', fields: { name: 'changed there' } });
  await until(
    'what the trigger wrote is at the source',
    async () => (await record('b'))?.note === 'changed there',
    ROUNDS,
  );
  await world.still();
  t.equal((await writesOf(world, (await row('a'))?.id)).received, 0, 'what we wrote ourselves is not sent back');
  t.same(await writesOf(world, (await row('b'))?.id), { received: 1, executed: 1 });

  // A long transaction keeps a row: its record waits, others go on, and the transaction is neither ended nor held up.
  await clerk.begin(async (tx) => {
    await tx`UPDATE torture_items SET label = 'held' WHERE ref = 'a'`;
    await source.edit({ op: 'update', ref: 'a', fields: { note: 'while it is held' } });
    await source.edit({ op: 'update', ref: 'b', fields: { label: 'not held' } });
    await until('the other record is there', async () => (await row('b'))?.label === 'not held', ROUNDS);
    await tx`UPDATE torture_items SET label = 'held to the end' WHERE ref = 'a'`;
  });
  await until('both sides are merged', async () => (await row('a'))?.note === 'while it is held', ROUNDS);
  await until('what it wrote is at the source', async () => (await record('a'))?.label === 'held to the end', ROUNDS);
  t.equal((await server.stop()).code, 0);
});
