import { test } from 'tap';
import { z } from 'zod';
import { fidelityOf, isReversible } from '../../src/lib/schema-fidelity.ts';

const tree: z.ZodType = z.looseObject({
  name: z.string(),
  get children() {
    return z.array(tree);
  },
});

const schema = z.object({
  text: z.string().trim().nullish(),
  mail: z.string().pipe(z.email()),
  standIn: z.number().default(5).catch(6),
  upper: z.string().transform((value) => value.toUpperCase()),
  coerced: z.coerce.number().optional(),
  cleaned: z.preprocess((value) => value, z.object({ inside: z.string() })),
  moment: z.codec(z.string(), z.date(), { decode: (at) => new Date(at), encode: (at) => at.toISOString() }),
  cut: z.object({ line: z.string() }),
  lists: z.array(z.object({ sku: z.string() })),
  loose: z.looseObject({ line: z.string() }),
  strict: z.strictObject({ line: z.string() }),
  record: z.record(z.string(), z.number()),
  counted: z.record(z.string(), z.coerce.number()),
  pair: z.tuple([z.string(), z.coerce.date()]),
  either: z.union([z.string(), z.string().transform(Number)]),
  tree,
});

test('what a schema does to a value is told, whatever it is wrapped in', async (t) => {
  const cases: readonly [string[], string][] = [
    [['text'], 'kept'],
    [['mail'], 'kept'],
    [['standIn'], 'kept'],
    [['upper'], 'changed'],
    [['coerced'], 'changed'],
    [['moment'], 'changed'],
    [['cut'], 'cut'],
    [['cut', 'line'], 'kept'],
    [['lists'], 'cut'],
    [['loose'], 'kept'],
    [['strict'], 'kept'],
    [['record'], 'kept'],
    [['record', 'any'], 'kept'],
    [['counted'], 'changed'],
    [['counted', 'any'], 'changed'],
    [['pair'], 'changed'],
    [['pair', '0'], 'kept'],
    [['either'], 'changed'],
    [['tree'], 'kept'],
    [['tree', 'children', '0', 'name'], 'kept'],
    [['nowhere'], 'kept'],
  ];
  for (const [path, expected] of cases) t.equal(fidelityOf(schema, path), expected, path.join('.'));
});

test('a change of what surrounds a value counts for what stands in it', async (t) => {
  t.equal(fidelityOf(schema, ['cleaned', 'inside']), 'changed');
  t.equal(
    fidelityOf(
      schema.transform((record) => record),
      ['text'],
    ),
    'changed',
  );
  t.equal(fidelityOf(schema, []), 'changed', 'and of what stands in it for the whole');
});

test('a schema runs backwards unless a one-way transform is in it', async (t) => {
  t.equal(isReversible(z.object({ at: z.array(schema.shape.moment) })), true);
  t.equal(isReversible(tree), true);
  t.equal(isReversible(z.array(schema.shape.upper)), false);
  t.equal(isReversible(schema.shape.cleaned), false);
});
