import { test } from 'tap';
import { field, lowercase, transform } from '../../src/index.ts';
import { checkConvergence, FAULTS_OFF } from '../../src/testing/index.ts';
import { made, person, withEntity } from './club.ts';

const write = {
  update: { path: '/people/{id}', ifMatch: true },
  create: { path: '/people' },
  delete: { path: '/people/{id}' },
  localDeletes: 'push',
  idempotency: { header: 'Idempotency-Key' },
} as const;

test('edits on both sides converge, whatever goes wrong, and no edit is written twice', async (t) => {
  const report = await checkConvergence(withEntity({ write }), { entities: { people: made }, records: 20, edits: 15 });
  t.equal(report.converged, true, report.lines.join('\n'));
  const edited = report.parts.find(({ name }) => name === 'edits here');
  t.match(edited?.words.join('\n'), /people: \d+ updates, 3 rows made and 2 removed here came to \d+ writes\./);
});

test('a mapping without a way back is told, and edits of what it maps with it', async (t) => {
  const upper = transform((text: string) => text.toUpperCase());
  const mapping = { ...person.mapping, name: field('name', upper), email: field('email', lowercase) };
  const { reasons } = await checkConvergence(withEntity({ write, mapping }), {
    entities: { people: made },
    records: 10,
    edits: 5,
    faults: FAULTS_OFF,
  });
  t.match(reasons.join('\n'), /people: edits of name are undone, because /);
});

test('a source that does not know the declared write is told by the pushes that wait', async (t) => {
  const facts = { write: { ...write, update: { path: '/members/{id}' } } };
  const { converged, lines } = await checkConvergence(withEntity({ write }), {
    entities: { people: { ...made, facts } },
    records: 10,
    edits: 5,
    faults: FAULTS_OFF,
    settleMs: 2_000,
  });
  t.equal(converged, false);
  t.match(lines.join('\n'), /people: `write` is .*members/);
});
