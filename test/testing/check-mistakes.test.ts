import { test } from 'tap';
import { cursor, field } from '../../src/index.ts';
import { checkConvergence, FAULTS_OFF } from '../../src/testing/index.ts';
import { definition, made, person, withEntity } from './club.ts';

const { read } = person;

test('a cursor that goes to the wrong parameter is told, with the parameter and the run that it breaks', async (t) => {
  const list = { ...read.list, pagination: cursor({ param: 'cursor', next: 'meta.next' }) };
  const entities = { people: { ...made, facts: { read: { ...read, list } } } };
  const { converged, lines, reasons } = await checkConvergence(definition, { entities });
  t.equal(converged, false);
  t.match(lines.join('\n'), /people: the full run ended as failed: page_loop/);
  t.match(reasons[0], /GET \/people came with `page_token`, which the source does not know/);
});

test('a parameter for changes that the source does not know is told, although full lists heal it', async (t) => {
  const entities = { people: { ...made, facts: { read: { ...read, changedSince: { param: 'modified' } } } } };
  const { reasons } = await checkConvergence(definition, { entities, records: 10, edits: 5, faults: FAULTS_OFF });
  t.match(reasons[0], /GET \/people came with `since`, which the source does not know/);
});

test('a key that is not the id of the record is told before anything runs', async (t) => {
  const mapping = { ...person.mapping, id: field('email'), email: field('id') };
  const { converged, lines, parts } = await checkConvergence(withEntity({ key: 'email', mapping }), {
    entities: { people: { ...made, facts: { key: 'id' } } },
  });
  t.equal(converged, false);
  t.equal(parts.length, 0);
  t.match(lines.join('\n'), /`key: 'email'` must lead to the record's id, and another value stands there/);
});

test('a mapping that refuses the source’s records is told with its field', async (t) => {
  const makeRecord = (id: string) => ({ id, name: 'Ada', email: null, score: 'many', updated_at: '' });
  const { lines } = await checkConvergence(definition, { entities: { people: { makeRecord } } });
  t.match(lines.join('\n'), /the mapping refuses records of makeRecord: score: expected .*, got string/);
});
