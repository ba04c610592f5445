import { test } from 'tap';
import { connectEmbedded, IN_MEMORY } from '../../src/db/embedded.ts';
import { migratedDump, silentLog } from '../helpers/database.ts';
import { configurationOf } from './configurations.ts';
import { mutantOf } from './push-mutants.ts';
import { runOne } from './run-one.ts';
import { hashOf } from './shape.ts';
import { createSqlStorage, emptyDatabase, takeClock } from './sql-storage.ts';

/** Steps with faults. A transaction takes some milliseconds here, so runs are few and short. */
const STEPS = 200;
const SEEDS = [1, 2];
/** The first with which the mutant is noticed. */
const SEED_OF_MUTANT = 1;
const NAMES = [
  'two-way, counter, keys',
  'two-way, timestamps, normalising, keys, hooks',
  'two-way, no versions, tags matched, markers',
  'two-way, local deletions pushed',
];

/** The database keeps digests in binary form: any text of hexadecimal digits is one. */
const hexOf = (text: string): string => Buffer.from(text).toString('hex');

test('the same promises are kept over SQL, and a rule that is left out is noticed there too', async (t) => {
  // One session, whose idea of the time is the scheduler's: the embedded database, whatever the other tests run on.
  const database = await connectEmbedded({ dataDir: IN_MEMORY, dump: await migratedDump(), log: silentLog });
  t.teardown(() => database.close());
  const { db } = database;
  await takeClock(db);
  const run = async (name: string, seed: number, mutant: string | null = null) => {
    await emptyDatabase(database);
    return await runOne({
      configuration: configurationOf(name),
      seed,
      steps: STEPS,
      mutant: mutant === null ? null : mutantOf(mutant),
      createStorage: (parts) => createSqlStorage(db, parts),
      hashOf: (content) => hexOf(hashOf(content)),
    });
  };
  for (const name of NAMES) {
    for (const seed of SEEDS) {
      const { violations, figures, steps } = await run(name, seed);
      t.same(violations, [], `${name}, seed ${seed}, ${steps} steps`);
      t.ok((figures.get('decision insert') ?? 0) > 0, 'records were written');
    }
  }
  const broken = await run('two-way, counter, keys', SEED_OF_MUTANT, 'no waiting for a push in flight');
  t.equal(broken.violations[0]?.invariant, 'I13');
});
