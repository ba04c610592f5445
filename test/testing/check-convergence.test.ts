import { test } from 'tap';
import { checkConvergence } from '../../src/testing/index.ts';
import { definition, made } from './club.ts';

test('an integration that says what its source does converges, whatever goes wrong', async (t) => {
  const report = await checkConvergence(definition, { entities: { people: made } });
  t.equal(report.converged, true, report.lines.join('\n'));
  t.strictSame(report.reasons, []);
});
