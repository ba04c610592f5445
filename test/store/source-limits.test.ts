import { test } from 'tap';
import { saveBreaker } from '../../src/store/source-states.ts';
import { createLimitLedger } from '../../src/sync/limit-ledger.ts';
import { createTestDatabase } from '../helpers/database.ts';

const count = (kept: unknown): number => (typeof kept === 'number' ? kept : 0);

test('updates of one integration happen one after the other, by a clock that does not go back', async (t) => {
  const { db } = await createTestDatabase(t);
  const ledgers = [createLimitLedger(db, 'shop'), createLimitLedger(db, 'shop')];
  const times: number[] = [];
  await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      ledgers[at % 2]?.update((kept, nowMs) => {
        times.push(nowMs);
        return { keep: count(kept) + 1, result: null };
      }),
    ),
  );
  t.equal((await ledgers[0]?.read())?.kept, 20);
  t.same(
    times,
    [...times].sort((left, right) => left - right),
  );
  t.same((await createLimitLedger(db, 'crm').read()).kept, null, 'integrations do not share');
});

test('a decision that throws keeps nothing, and limits live beside the rest of a source state', async (t) => {
  const { db } = await createTestDatabase(t);
  const ledger = createLimitLedger(db, 'shop');
  await saveBreaker(db, 'shop', { state: 'open', reason: 'server_error' });
  await ledger.update(() => ({ keep: { used: 1 }, result: null }));
  await t.rejects(
    ledger.update(() => {
      throw new Error('no');
    }),
    { message: 'no' },
  );
  t.same((await ledger.read()).kept, { used: 1 });
});
