import { test } from 'tap';
import { z } from 'zod';
import { checkConvergence, FAULTS_OFF, type StandInEntity } from '../../src/testing/index.ts';
import { made, person, personSchema, plainPeople, withEntity } from './club.ts';

const { changedSince: _since, ...read } = person.read;
const { updatedAt: _column, ...mapping } = person.mapping;

test('reads that are further behind than the definition says are told, and what they spoil', async (t) => {
  const { converged, lines } = await checkConvergence(
    withEntity({ readLag: '0s', version: { kind: 'none' }, read, mapping, target: plainPeople }),
    {
      entities: { people: made },
      maxLagMs: 8_000,
      records: 15,
      faults: FAULTS_OFF,
    },
  );
  t.equal(converged, false);
  t.match(lines.join('\n'), /people: reads of the source are up to 8000 ms behind, and `readLag` allows for 0 ms/);
});

test('seconds that are taken for a counter lose changes of one second, and are told', async (t) => {
  const epoch: StandInEntity = {
    ...made,
    facts: { version: { kind: 'timestamp', field: 'updated_at', format: 'epoch_s' } },
  };
  const schema = personSchema.extend({ updated_at: z.union([z.string(), z.number()]) });
  const version = { kind: 'counter', field: 'updated_at' } as const;
  const { converged, lines } = await checkConvergence(
    withEntity({ version, schema, mapping, read, target: plainPeople }),
    {
      entities: { people: epoch },
      records: 15,
      faults: FAULTS_OFF,
    },
  );
  t.equal(converged, false);
  t.match(lines.join('\n'), /people: of \d+ records .* that differ/);
  t.match(lines.join('\n'), /`version` is \{"kind":"timestamp".*and the definition says \{"kind":"counter"/);
});
