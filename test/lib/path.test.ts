import fc from 'fast-check';
import { test } from 'tap';
import { kindOf } from '../../src/lib/kind.ts';
import { MAX_PATH_LENGTH, MAX_PATH_SEGMENTS, parsePath, readPath } from '../../src/lib/path.ts';

const read = (value: unknown, text: string) => {
  const path = parsePath(text);
  if (path === null) throw new Error(`not a path: ${text}`);
  return readPath(value, path);
};

test('a path is read as keys joined by dots, with indexes and quoted keys', async (t) => {
  for (const [text, path] of [
    ['', []],
    ['id', ['id']],
    ['a.b.0.c', ['a', 'b', '0', 'c']],
    ['a[0].c', ['a', '0', 'c']],
    ['[0].id', ['0', 'id']],
    ["meta['a.b'].c", ['meta', 'a.b', 'c']],
    ['meta["it\'s"]', ['meta', "it's"]],
    ["['']", ['']],
    ['a b.ünï', ['a b', 'ünï']],
  ] as const) {
    t.same(parsePath(text), path, text);
  }
});

test('text that is no path is refused', async (t) => {
  for (const text of ['.', 'a.', '.a', 'a..b', 'a[', 'a]', 'a[x]', 'a[0]b', "a['b]", 'a.[0]', "a['b'", '[]', 'a[-1]']) {
    t.equal(parsePath(text), null, text);
  }
  t.equal(parsePath('a'.repeat(MAX_PATH_LENGTH + 1)), null);
  t.equal(
    parsePath(
      Array(MAX_PATH_SEGMENTS + 1)
        .fill('a')
        .join('.'),
    ),
    null,
  );
  t.not(parsePath(Array(MAX_PATH_SEGMENTS).fill('a').join('.')), null);
});

test('a value is found only where every key is really there', async (t) => {
  const value = { a: { b: [{ id: 7 }, null] }, 'x.y': false, n: null, u: undefined };
  t.same(read(value, 'a.b.0.id'), { found: true, value: 7 });
  t.same(read(value, 'a.b[1]'), { found: true, value: null });
  t.same(read(value, "['x.y']"), { found: true, value: false });
  t.same(read(value, 'n'), { found: true, value: null });
  t.same(read(value, ''), { found: true, value });
  for (const missing of ['u', 'a.c', 'a.b.2', 'a.b.00', 'a.b.-1', 'a.b.length', 'n.x', 'a.b.0.id.x', 'x.y']) {
    t.same(read(value, missing), { found: false }, missing);
  }
});

test('what an object inherits is never found', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'constructor.name']) {
    t.same(read({}, name), { found: false }, name);
    t.same(read([], name), { found: false }, name);
    t.same(read('text', name), { found: false }, name);
  }
  t.same(read(JSON.parse('{"__proto__": {"x": 1}}'), '__proto__.x'), { found: true, value: 1 });
});

test('every key of any JSON object can be written as a path', async () => {
  fc.assert(
    fc.property(fc.string(), fc.jsonValue(), (key, inner) => {
      const quote = key.includes("'") ? '"' : "'";
      fc.pre(!key.includes(quote) && key.length < 400);
      const found = read(
        JSON.parse(JSON.stringify({ outer: Object.fromEntries([[key, inner]]) })),
        `outer[${quote}${key}${quote}]`,
      );
      return found.found && JSON.stringify(found.value) === JSON.stringify(inner);
    }),
  );
});

test('any text is either a path or refused, without an exception', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.anything(), (text, value) => {
      const path = parsePath(text);
      if (path !== null) readPath(value, path);
    }),
  );
});

test('the kind of a value tells its sort and nothing else', async (t) => {
  t.same([undefined, null, 'x', 1, true, [], {}, 1n].map(kindOf), [
    'missing',
    'null',
    'string',
    'number',
    'boolean',
    'array',
    'object',
    'other',
  ]);
});
