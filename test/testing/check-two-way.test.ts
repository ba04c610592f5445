import { test } from 'tap';
import { checkConvergence, type StandInEntity } from '../../src/testing/index.ts';
import { made, withEntity, write } from './club.ts';

test('edits on both sides converge, whatever goes wrong, and no edit is written twice', async (t) => {
  const report = await checkConvergence(withEntity({ write }), { entities: { people: made }, records: 20, edits: 15 });
  t.equal(report.converged, true, report.lines.join('\n'));
  const edited = report.parts.find(({ name }) => name === 'edits here');
  t.match(edited?.words.join('\n'), /people: \d+ updates, 3 rows made and 2 removed here came to \d+ writes\./);
});

test('pushes that a conflict holds for a person are no work that is left', async (t) => {
  const manual = withEntity({ write: { update: write.update, conflict: 'manual' } });
  // Both sides change nothing but the score, so that they meet.
  const scored: StandInEntity = {
    makeRecord: (id, random) => ({ id, name: 'Ada', email: null, score: random.whole(0, 1_000_000), updated_at: '' }),
  };
  const report = await checkConvergence(manual, {
    entities: { people: scored },
    records: 8,
    edits: 15,
    settleMs: 15_000,
  });
  t.equal(report.converged, true, report.lines.join('\n'));
  t.match(report.reasons.join('\n'), /people: \d+ conflicts open: both_changed/);
});
