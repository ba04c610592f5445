import fc from 'fast-check';
import { test } from 'tap';
import { SourceError } from '../../src/source/error.ts';
import { fillPath, type PathTemplate, parsePathTemplate, placeholdersOf } from '../../src/source/path-template.ts';

function template(text: string): PathTemplate {
  const parsed = parsePathTemplate(text);
  if (parsed === null) throw new Error(`not a template: ${text}`);
  return parsed;
}

test('text that is no path template is refused', async (t) => {
  for (const text of [
    '',
    'customers',
    '//evil.example/x',
    '/a?b=1',
    '/a#b',
    '/a b',
    '/a/../b',
    '/a/%2E./b',
    '/a/.',
    '/{}',
    '/{a',
    '/{a-b}',
    '/{+id}',
    '/a\\b',
    `/${'a'.repeat(600)}`,
  ]) {
    t.equal(parsePathTemplate(text), null, text);
  }
});

test('placeholders are found by name', async (t) => {
  t.same(placeholdersOf('/v1/{+repository}/things/{id}.json'), ['repository', 'id']);
  t.same(placeholdersOf('/plain'), []);
});

test('a value fills its place and never adds a part to the path, nor a query', async () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constantFrom('.', '..', '/', '\\', '?', '%2e')),
      (id) => {
        try {
          const path = fillPath(template('/v1/{id}/notes'), { id });
          const url = new URL(path, 'http://x');
          return url.search === '' && url.hash === '' && url.pathname === `/v1/${encodeURIComponent(id)}/notes`;
        } catch (error) {
          return error instanceof SourceError && error.code === 'bad_id' && (id === '' || id === '.' || id === '..');
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('a value with slashes keeps them only where the path says so', async (t) => {
  t.equal(fillPath(template('/{+a}/x'), { a: 'b c/d' }), '/b%20c/d/x');
  t.equal(fillPath(template('/{a}/x'), { a: 'b c/d' }), '/b%20c%2Fd/x');
  t.throws(() => fillPath(template('/{+a}/x'), { a: 'b/../d' }), { code: 'bad_id' });
  t.throws(() => fillPath(template('/{a}/x'), {}), { code: 'bad_id' });
});
