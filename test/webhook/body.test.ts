import fc from 'fast-check';
import { test } from 'tap';
import { createBodyReader, MAX_BODY_DEPTH, MAX_FORM_FIELDS, parseBody } from '../../src/webhook/body.ts';
import { listFixtures, readFixture, skipWithout } from './fixtures.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
const parse = (text: string | Buffer, headers = JSON_TYPE) => parseBody(Buffer.from(text), headers);

const SUITE = 'json-test-suite/test_parsing';

/** What we refuse although JSON allows it: nothing but depth. */
const PROBLEMS = ['empty', 'not_utf8', 'not_json', 'too_deep'];

test('JSONTestSuite: what must be accepted is, what must be refused is, with a documented problem', {
  skip: skipWithout(SUITE),
}, async (t) => {
  const names = listFixtures(SUITE).filter((name) => name.endsWith('.json'));
  t.ok(names.length > 300, `${names.length} files`);
  for (const name of names) {
    const result = parse(readFixture(`${SUITE}/${name}`));
    if (!result.ok && !PROBLEMS.includes(result.problem)) t.fail(`${name}: ${result.problem}`);
    if (name.startsWith('y_') && !result.ok) t.fail(`${name}: ${result.problem}`);
    if (name.startsWith('n_') && result.ok) t.fail(`${name} was accepted`);
  }
});

test('a body is read as strict UTF-8, with or without a byte order mark', async (t) => {
  t.same(parse('{"a":"é"}'), { ok: true, value: { a: 'é' } });
  t.same(parse('\ufeff{"a":1}'), { ok: true, value: { a: 1 } });
  t.same(parse('\ufeff\ufeff{}'), { ok: false, problem: 'not_json' });
  t.same(parse('\ufeff'), { ok: false, problem: 'not_json' });
  t.same(parse(''), { ok: false, problem: 'empty' });
  for (const bytes of [
    [0x22, 0xff, 0x22],
    [0x22, 0xc0, 0x80, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
    [0xff, 0xfe, 0x31, 0x00],
  ]) {
    t.same(parse(Buffer.from(bytes)), { ok: false, problem: 'not_utf8' });
  }
  t.same(parse('"\\ud800"'), { ok: true, value: '\ud800' }, 'a lone surrogate is legal JSON');
});

test('nesting is counted outside of strings, and refused past the limit before anything walks it', async (t) => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  t.equal(parse(nested(MAX_BODY_DEPTH)).ok, true);
  t.same(parse(nested(MAX_BODY_DEPTH + 1)), { ok: false, problem: 'too_deep' });
  t.same(parse('['.repeat(100_000)), { ok: false, problem: 'too_deep' });
  t.same(parse('{"a":'.repeat(100_000)), { ok: false, problem: 'too_deep' });
  t.same(parse(`${']'.repeat(1_000)}${'['.repeat(500)}`), { ok: false, problem: 'not_json' });
  const brackets = '[{"'.repeat(1_000);
  t.same(parse(JSON.stringify({ a: brackets, b: '\\', c: '\\"[' })), {
    ok: true,
    value: { a: brackets, b: '\\', c: '\\"[' },
  });
  t.same(parse(`["\\\\",${nested(MAX_BODY_DEPTH)}]`), { ok: false, problem: 'too_deep' });
  t.same(parse('"unterminated ['), { ok: false, problem: 'not_json' });
});

test('a string of many backslashes or quotes takes no longer than its length', async (t) => {
  const startMs = performance.now();
  for (const text of [
    '"'.repeat(500_000),
    `"${'\\'.repeat(500_000)}`,
    `"${'\\"'.repeat(300_000)}`,
    `${'"\\\\"'.repeat(200_000)}`,
  ]) {
    t.equal(parse(text).ok, false);
  }
  t.ok(performance.now() - startMs < 2_000);
});

test('a key called __proto__ is a key like any other', async (t) => {
  const result = parse('{"__proto__":{"isAdmin":true}}');
  t.equal(result.ok && Object.hasOwn(Object(result.value), '__proto__'), true);
  t.equal(Reflect.get({}, 'isAdmin'), undefined);
  const form = parse('__proto__=x&constructor=y', FORM_TYPE);
  t.equal(form.ok && Object.hasOwn(Object(form.value), '__proto__'), true);
});

test('a form is read by its payload, or as its fields', async (t) => {
  const payload = encodeURIComponent('{"action":"opened","n":"a b+c"}').replaceAll('%20', '+');
  t.same(parse(`payload=${payload}`, FORM_TYPE), { ok: true, value: { action: 'opened', n: 'a b+c' } });
  t.same(parse(`x=1&payload=${payload}`, FORM_TYPE), { ok: true, value: { action: 'opened', n: 'a b+c' } });
  t.same(parse('id=tr_1', FORM_TYPE), { ok: true, value: { id: 'tr_1' } });
  t.same(parse('a=1&a=2&b&&c=%C3%BC', FORM_TYPE), { ok: true, value: { a: ['1', '2'], b: '', c: 'ü' } });
  t.same(parse('payload={}&payload={}', FORM_TYPE), { ok: false, problem: 'bad_form' });
  t.same(parse('payload=%7B', FORM_TYPE), { ok: false, problem: 'not_json' });
  t.same(parse(`payload=${'['.repeat(5_000)}`, FORM_TYPE), { ok: false, problem: 'too_deep' });
  t.same(parse('a=%ff', FORM_TYPE), { ok: false, problem: 'bad_form' });
  t.same(parse('a=%zz', FORM_TYPE), { ok: false, problem: 'bad_form' });
  t.same(parse('&'.repeat(MAX_FORM_FIELDS), FORM_TYPE), { ok: false, problem: 'bad_form' });
  t.same(parse('payload={}', { 'content-type': 'application/x-www-form-urlencodedish' }), {
    ok: false,
    problem: 'not_json',
  });
  t.same(parseBody(Buffer.from('{}'), {}), { ok: true, value: {} }, 'without a content type a body is JSON');
});

test('any bytes give a value or a documented problem', async () => {
  const types = fc.constantFrom(JSON_TYPE, FORM_TYPE);
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.string().map((text) => Buffer.from(text)),
    fc.json().map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(bytes, types, (body, headers) => {
      const result = parseBody(body, headers);
      return result.ok || [...PROBLEMS, 'bad_form'].includes(result.problem);
    }),
    { numRuns: 1_000 },
  );
  fc.assert(fc.property(fc.json({ maxDepth: 20 }), (text) => parse(text).ok));
});

test('a body reader parses once', async (t) => {
  const read = createBodyReader(Buffer.from('{"a":1}'), JSON_TYPE);
  const first = read();
  t.equal(read(), first);
});
