import { test } from 'tap';
import { checkConvergence } from '../../src/testing/index.ts';
import { made, withEntity, write } from './club.ts';

test('edits on both sides converge, whatever goes wrong, and no edit is written twice', async (t) => {
  const report = await checkConvergence(withEntity({ write }), { entities: { people: made }, records: 20, edits: 15 });
  t.equal(report.converged, true, report.lines.join('\n'));
  const edited = report.parts.find(({ name }) => name === 'edits here');
  t.match(edited?.words.join('\n'), /people: \d+ updates, 3 rows made and 2 removed here came to \d+ writes\./);
});
