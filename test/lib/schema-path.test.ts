import { test } from 'tap';
import { z } from 'zod';
import { parsePath } from '../../src/lib/path.ts';
import { acceptorAt, maskedPath, reachOf } from '../../src/lib/schema-path.ts';

type Node = { name: string; parent?: Node | undefined };
const node: z.ZodType<Node> = z.object({
  name: z.string(),
  get parent() {
    return node.optional();
  },
});

const schema = z.object({
  id: z.string(),
  address: z.object({ line1: z.string() }).nullish(),
  lines: z.array(z.object({ sku: z.string() })).default([]),
  pair: z.tuple([z.string(), z.object({ x: z.number() })]),
  map: z.record(z.string(), z.object({ inner: z.string() })),
  loose: z.looseObject({ known: z.string() }),
  strict: z.strictObject({ known: z.string() }).readonly(),
  either: z.union([z.object({ a: z.string() }), z.object({ b: z.string() })]),
  both: z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })),
  open: z.unknown(),
  packed: z.string().transform((text) => ({ text })),
  renamed: z.codec(z.object({ old: z.string() }), z.object({ fresh: z.string() }), {
    decode: ({ old }) => ({ fresh: old }),
    encode: ({ fresh }) => ({ old: fresh }),
  }),
  node,
});
const reach = (path: string, side: 'input' | 'output' = 'output') => reachOf(schema, parsePath(path) ?? [], side);

test('a path that the schema can fill is possible', async (t) => {
  const possible = [
    '',
    'id',
    'address.line1',
    'lines.0.sku',
    'lines[3].sku',
    'pair.1.x',
    'map.any.inner',
    'loose.known',
    'loose.other.deep',
    'strict.known',
    'either.a',
    'either.b',
    'both.a',
    'both.b',
    'open.a.b',
    'packed.text',
    'packed.unknowable',
    'renamed.fresh',
    'node.parent.parent.name',
  ];
  for (const path of possible) t.equal(reach(path), 'possible', path);
  t.equal(reach('renamed.old', 'input'), 'possible');
});

test('a path that the schema drops or cannot have is absent', async (t) => {
  const absent = [
    'nope',
    'id.x',
    'address.line2',
    'lines.sku',
    'lines.x',
    'pair.2',
    'pair.0.x',
    'map.any.outer',
    'strict.other',
    'either.c',
    'both.c',
    'renamed.old',
    'node.parent.nope',
    '__proto__',
    'constructor',
    'toString',
  ];
  for (const path of absent) t.equal(reach(path), 'absent', path);
  t.equal(reach('renamed.fresh', 'input'), 'absent');
});

test('keys that the schema does not name are not shown', async (t) => {
  t.equal(maskedPath(schema, ['lines', 0, 'sku']), 'lines.0.sku');
  t.equal(maskedPath(schema, ['map', 'ann@example.com', 'inner']), 'map.*.inner');
  t.equal(maskedPath(schema, ['loose', 'ann@example.com']), 'loose.*');
  t.equal(maskedPath(schema, ['open', 'ann', 'b']), 'open.*.*');
  t.equal(maskedPath(schema, ['either', 'b']), 'either.b');
});

test('what the source can send at a place is told as far as the schema does', async (t) => {
  const schema = z.object({
    count: z.object({ of: z.number().nullish() }).nullish(),
    text: z.string().transform(Number),
    odd: z.string().refine(() => {
      throw new Error('a mistake of the user’s');
    }),
    choice: z.union([z.object({ a: z.number() }), z.object({ a: z.boolean() })]),
  });
  const takes = (path: string[], value: unknown) => acceptorAt(schema, path)(value);
  t.equal(takes(['count', 'of'], 1), true);
  t.equal(takes(['count', 'of'], '1'), false);
  t.equal(takes(['text'], '5'), true, 'what it sends, not what becomes of it');
  t.equal(takes(['text'], 5), false);
  t.equal(takes(['choice', 'a'], true), true);
  t.equal(takes(['choice', 'a'], 'x'), false);
  t.equal(takes(['odd'], 'x'), true, 'a check that throws tells nothing');
  t.equal(takes(['nowhere'], 'x'), true);
});
