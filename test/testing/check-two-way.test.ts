import { test } from 'tap';
import { checkConvergence } from '../../src/testing/index.ts';
import { made, withEntity, write } from './club.ts';

test('edits on both sides converge, whatever goes wrong, and no edit is written twice', async (t) => {
  const report = await checkConvergence(withEntity({ write }), { entities: { people: made }, records: 20, edits: 15 });
  t.equal(report.converged, true, report.lines.join('\n'));
  const edited = report.parts.find(({ name }) => name === 'edits here');
  t.match(edited?.words.join('\n'), /people: \d+ updates, 3 rows made and 2 removed here came to \d+ writes\./);
});

test('pushes and edits that a conflict holds for a person are no work that is left', async (t) => {
  const manual = withEntity({ write: { ...write, conflict: 'manual' } });
  const options = { entities: { people: made }, records: 20, edits: 15, seed: 4, settleMs: 15_000 };
  const report = await checkConvergence(manual, options);
  t.equal(report.converged, true, report.lines.join('\n'));
  t.match(report.reasons.join('\n'), /people: \d+ conflicts open: both_changed/);
});
