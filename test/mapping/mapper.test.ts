import fc from 'fast-check';
import { test } from 'tap';
import { z } from 'zod';
import { constant, field, fields, type Mapping, required, syncedAt, withDefault } from '../../src/mapping/field.ts';
import { createMapper, type Mapped, type MapperForm } from '../../src/mapping/mapper.ts';
import { transform } from '../../src/mapping/transforms/custom.ts';
import { cents } from '../../src/mapping/transforms/number.ts';
import { concat, join, lowercase, trim } from '../../src/mapping/transforms/text.ts';
import { epochSeconds, isoDate } from '../../src/mapping/transforms/time.ts';
import type { ColumnKind, TargetTable } from '../../src/model/target.ts';

const schema = z.object({
  id: z.union([z.string(), z.number()]),
  email: z.string().nullish(),
  amount_cents: z.number(),
  created: z.number(),
  updated_at: z.string().optional(),
  status: z.string().default('new'),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  address: z.object({ line1: z.string().nullish(), line2: z.string().nullish() }).nullish(),
  lines: z.array(z.object({ sku: z.string() })).optional(),
});

const COLUMNS: { readonly [property: string]: readonly [ColumnKind, string, boolean] } = {
  id: ['text', 'text', true],
  email: ['text', 'text', false],
  amount: ['decimal', 'numeric(12, 2)', true],
  createdAt: ['timestamp', 'timestamp with time zone', true],
  status: ['text', 'text', true],
  tags: ['text', 'text', false],
  street: ['text', 'text', false],
  firstSku: ['text', 'text', false],
  metadata: ['json', 'jsonb', false],
  source: ['text', 'text', true],
};
const mapping: Mapping = {
  id: field(
    'id',
    transform((id: string | number) => String(id)),
  ),
  email: field('email', lowercase, trim),
  amount: field('amount_cents', cents),
  createdAt: field('created', epochSeconds),
  status: field('status'),
  tags: field('metadata.tags', join(', ')),
  street: fields(['address.line1', 'address.line2'], concat(' ')),
  firstSku: field('lines.0.sku'),
  metadata: field('metadata'),
  source: constant('shop'),
  syncedAt: syncedAt(),
};

const targetOf = (columns: typeof COLUMNS): TargetTable => ({
  schema: 'public',
  name: 'customers',
  columns: Object.fromEntries(
    Object.entries(columns).map(([name, [kind, sqlType, isNotNull]]) => [
      name,
      { name, kind, sqlType, isNotNull, hasDefault: false },
    ]),
  ),
  keyProperty: 'id',
  isKeyDirect: true,
  contentProperties: Object.keys(columns),
  syncedAtProperties: ['syncedAt'],
  deletedAtProperty: null,
});

const form: MapperForm = {
  integration: 'shop',
  entity: 'customers',
  schema,
  key: 'id',
  version: { kind: 'none' },
  mapping,
  target: targetOf(COLUMNS),
};
const mapper = createMapper(form);

const record = {
  id: 'cus_1',
  email: ' A@B.de ',
  amount_cents: 1999,
  created: 1700000000,
  status: 'active',
  extra: 'dropped',
  metadata: { tags: ['x', 'y'], b: 1 },
  address: { line1: 'Main St', line2: null },
  lines: [{ sku: 's1' }],
};
const mapped = (made: Mapped) => {
  if (made.kind === 'mapped') return made;
  throw new Error(`${made.kind}: ${made.kind === 'invalid' ? made.problem.message : ''}`);
};
const problem = (made: Mapped) => {
  if (made.kind === 'invalid') return made.problem;
  throw new Error(made.kind);
};

/** A small mapper of one column beside the id. */
const one = (column: Mapping[string], type: readonly [ColumnKind, string, boolean], more: Partial<MapperForm> = {}) =>
  createMapper({
    ...form,
    schema: z.looseObject({}),
    mapping: { id: field('id'), x: column },
    target: targetOf({ id: ['text', 'text', true], x: type }),
    ...more,
  });

test('a whole record becomes canonical content with every property', async (t) => {
  const made = mapped(mapper.map(record));
  t.strictSame(made.content, {
    id: 'cus_1',
    email: 'a@b.de',
    amount: '19.99',
    createdAt: '2023-11-14T22:13:20Z',
    status: 'active',
    tags: 'x, y',
    street: 'Main St',
    firstSku: 's1',
    metadata: { b: 1, tags: ['x', 'y'] },
    source: 'shop',
  });
  t.match(made, { externalId: 'cus_1', version: null, isDeleted: false, hash: mapper.hashOf(made.content) });
});

test('a time is rounded to the precision of its column, also after a transform', async (t) => {
  const raw = { id: 'a', x: '2024-01-01T00:00:00.5000001Z' };
  const types = ['timestamp with time zone', 'timestamp (6)', 'timestamp (3) with time zone', 'timestamp (0)'];
  const stored = types.map((type) => mapped(one(field('x', isoDate), ['timestamp', type, false]).map(raw)).content.x);
  t.strictSame(stored, [
    '2024-01-01T00:00:00.5Z',
    '2024-01-01T00:00:00.5Z',
    '2024-01-01T00:00:00.5Z',
    '2024-01-01T00:00:01Z',
  ]);
  t.equal(
    mapped(one(field('x', isoDate), ['text', 'varchar(30)', false]).map(raw)).content.x,
    '2024-01-01T00:00:00.5Z',
  );
});

test('in a whole record what is missing or null becomes null, or the default', async (t) => {
  const { content } = mapped(mapper.map({ id: 1, amount_cents: 0, created: 0, address: null }));
  t.match(content, { id: '1', email: null, status: 'new', tags: null, street: null, firstSku: null, metadata: null });
  const defaulted = one(field('x', withDefault('none')), ['text', 'text', true]);
  t.equal(mapped(defaulted.map({ id: 'a' })).content.x, 'none');
  t.equal(mapped(defaulted.map({ id: 'a', x: null })).content.x, 'none');
  t.equal(mapped(defaulted.map({ id: 'a', x: '' })).content.x, '');
});

test('a column that cannot be null refuses a record without a value, and so does required', async (t) => {
  for (const made of [one(field('x'), ['text', 'text', true]), one(field('x', required), ['text', 'text', false])]) {
    t.match(problem(made.map({ id: 'a' })), { code: 'missing', fieldPath: 'x', received: 'missing', externalId: 'a' });
    t.match(problem(made.map({ id: 'a', x: null })), { code: 'missing', received: 'null' });
  }
});

test('a key absent from a partial payload gives no property; a null one gives null', async (t) => {
  const partial = (raw: object) => mapped(mapper.map({ id: 'cus_1', ...raw }, { isPartial: true })).content;
  t.strictSame(partial({ email: null }), { id: 'cus_1', email: null, source: 'shop' });
  t.strictSame(partial({ amount_cents: 5 }), { id: 'cus_1', amount: '0.05', source: 'shop' });
  t.strictSame(
    partial({ metadata: {} }),
    { id: 'cus_1', metadata: {}, source: 'shop' },
    'metadata.tags was left out, not emptied',
  );
  t.strictSame(
    partial({ metadata: null }),
    { id: 'cus_1', tags: null, metadata: null, source: 'shop' },
    'nothing is under a null',
  );
  t.strictSame(partial({ address: null }), { id: 'cus_1', street: null, source: 'shop' });
  t.strictSame(partial({}), { id: 'cus_1', source: 'shop' }, "the schema's default for status fills nothing in");
});

test('a partial payload is checked by the fields it carries', async (t) => {
  const made = problem(mapper.map({ id: 'a', amount_cents: 'x' }, { isPartial: true }));
  t.match(made, { code: 'schema', fieldPath: 'amount_cents', expected: 'a number', received: 'string' });
  t.match(problem(mapper.map({ id: 'a', amount_cents: null }, { isPartial: true })), {
    code: 'schema',
    received: 'null',
  });
});

test('a column of several fields, some of them absent, makes a partial payload incomplete', async (t) => {
  const raw = { id: 'a', address: { line1: 'x' } };
  t.strictSame(mapper.map(raw, { isPartial: true }), { kind: 'incomplete', externalId: 'a', version: null });
  t.equal(mapped(mapper.map({ ...raw, amount_cents: 1, created: 1 })).content.street, 'x');
  const union = createMapper({ ...form, schema: z.union([schema, z.looseObject({ id: z.string() })]) });
  t.equal(union.map(raw, { isPartial: true }).kind, 'incomplete', 'no schema can check its fields one by one');
});

test('a partial payload of a text that the schema takes apart carries what the schema finds', async (t) => {
  const packed = createMapper({
    ...form,
    schema: z.object({ id: z.string(), x: z.string().transform((text) => ({ y: text })) }),
    mapping: { id: field('id'), x: field('x.y') },
    target: targetOf({ id: ['text', 'text', true], x: ['text', 'text', false] }),
  });
  t.equal(mapped(packed.map({ id: 'a', x: 'in' }, { isPartial: true })).content.x, 'in');
  t.notOk('x' in mapped(packed.map({ id: 'a' }, { isPartial: true })).content);
});

test('the id is text or a whole number that has kept its digits', async (t) => {
  t.strictSame(mapper.externalIdOf({ id: 42 }), { ok: true, externalId: '42' });
  t.strictSame(mapper.parseId('x'), { ok: true, externalId: 'x' });
  t.strictSame(mapper.externalIdOf({ id: 'i'.repeat(512) }).ok, true);
  for (const id of ['', 2 ** 53, 1.5, Number.NaN, null, undefined, true, {}, [], 'a\0', '\ud800', 'i'.repeat(513)]) {
    t.match(problem(mapper.map({ ...record, id })), { code: 'bad_id', externalId: null, fieldPath: 'id' }, typeof id);
    t.equal(mapper.parseId(id).ok, false);
  }
  t.match(problem(mapper.map({ ...record, id: 2 ** 53 })).expected, /as text/);
});

test('versions keep every digit that orders them', async (t) => {
  const versioned = (version: MapperForm['version']) => one(field('x'), ['text', 'text', false], { version });
  const iso = versioned({ kind: 'timestamp', field: 'meta.at' });
  t.equal(iso.versionOf({ meta: { at: '2024-01-01T00:00:00.123456789+00:00' } }), 1704067200123456n);
  t.equal(iso.parseVersion('1969-12-31T23:59:59.999999Z'), -1n);
  const second = versioned({ kind: 'timestamp', field: 'at', precision: 'second' });
  t.equal(second.parseVersion('2024-01-01T00:00:00.999Z'), second.parseVersion('2024-01-01T00:00:00Z'));
  t.equal(second.parseVersion('1969-12-31T23:59:59.5Z'), -1_000_000n, 'cut to the earlier second, also before 1970');
  t.equal(
    versioned({ kind: 'timestamp', field: 'at', format: 'epoch_s' }).parseVersion(1700000000.5),
    1700000000500000n,
  );
  t.equal(
    versioned({ kind: 'timestamp', field: 'at', format: 'epoch_ms' }).parseVersion('1700000000123'),
    1700000000123000n,
  );
  const counter = versioned({ kind: 'counter', field: 'rev' });
  t.equal(counter.parseVersion(7), 7n);
  t.equal(counter.parseVersion('900719925474099312345'), 900719925474099312345n);
  for (const value of [-1, 1.5, 2 ** 53, '', '-1', '1.0', ' 1', null, undefined, {}, '9'.repeat(101)])
    t.equal(counter.parseVersion(value), null);
  for (const value of ['2024-01-01', '2024-01-01T00:00:00', 5, null, undefined, 'x'])
    t.equal(iso.parseVersion(value), null);

  t.match(problem(counter.map({ id: 'a' })), { code: 'bad_version', fieldPath: 'rev', received: 'missing' });
  t.match(problem(counter.map({ id: 'a', rev: 'x' })), { code: 'bad_version', received: 'string' });
});

test('a partial payload may leave its version out, but not send one that cannot be read', async (t) => {
  const versioned = createMapper({ ...form, version: { kind: 'timestamp', field: 'updated_at' } });
  t.equal(mapped(versioned.map({ id: 'a' }, { isPartial: true })).version, null);
  t.match(problem(versioned.map({ id: 'a', updated_at: 'x' }, { isPartial: true })), { code: 'bad_version' });
});

test('a record marked as deleted needs nothing but its id', async (t) => {
  const marked = createMapper({ ...form, marker: { field: 'deleted', equals: true } });
  t.match(mapped(marked.map({ id: 'a', object: 'customer', deleted: true })), {
    isDeleted: true,
    externalId: 'a',
    content: {},
    version: null,
  });
  t.equal(mapped(marked.map({ ...record, deleted: false })).isDeleted, false);
  t.equal(mapped(marked.map({ ...record, deleted: 'true' })).isDeleted, false);
});

test('records that are none of the entity are ignored, unless only a part of them is seen', async (t) => {
  const filtered = createMapper({ ...form, only: (seen) => schema.parse(seen).status === 'active' });
  t.equal(filtered.map(record).kind, 'mapped');
  t.strictSame(filtered.map({ ...record, status: 'gone' }), { kind: 'ignored', externalId: 'cus_1' });
  t.equal(filtered.map({ id: 'a', email: 'x' }, { isPartial: true }).kind, 'mapped');
});

test('a problem names the place, what was expected and the kind of what came, and never the value', async (t) => {
  const canary = 'canary@example.com';
  const bad = [
    { ...record, amount_cents: canary },
    { ...record, email: { [canary]: canary } },
    { ...record, metadata: { tags: canary } },
    { ...record, amount_cents: 0.5 },
    { ...record, created: 1e30 },
    { ...record, lines: [{ sku: 1, [canary]: 1 }] },
    { ...record, metadata: { tags: [{ [canary]: 1 }] } },
  ];
  for (const raw of bad) {
    const found = problem(mapper.map(raw));
    t.match(found, { integration: 'shop', entity: 'customers', externalId: 'cus_1' });
    t.ok(found.message.startsWith('shop/customers record cus_1: '), found.message);
    t.ok(found.message.includes(found.expected) && found.message.includes(found.received));
    t.notMatch(JSON.stringify(found), canary);
  }
  t.match(problem(mapper.map({ ...record, lines: [{ sku: 5 }] })), {
    fieldPath: 'lines.0.sku',
    expected: 'text',
    received: 'number',
  });
  t.match(problem(mapper.map({ ...record, amount_cents: 0.5 })), {
    code: 'bad_value',
    fieldPath: 'amount_cents',
    expected: 'whole minor units',
  });

  const byEmail = createMapper({
    ...form,
    schema: z.looseObject({ people: z.record(z.string(), z.number()) }),
    mapping: { id: field('id') },
    target: targetOf({ id: ['text', 'text', true] }),
  });
  const masked = problem(byEmail.map({ id: 'a', people: { [canary]: 'x' } }));
  t.equal(masked.fieldPath, 'people.*');
  const custom = createMapper({
    ...form,
    schema: z.looseObject({}).superRefine((_, context) => context.addIssue({ code: 'custom', message: canary })),
  });
  t.notMatch(JSON.stringify(problem(custom.map(record))), canary, 'a message of the schema may quote the value');
});

test('an id with control characters cannot break a log line', async (t) => {
  t.notMatch(problem(mapper.map({ ...record, id: 'a\nb', amount_cents: 'x' })).message, '\n');
});

test('functions that throw or give what no column takes set only their record aside', async (t) => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const results: [unknown, string][] = [
    [1n, 'wrong_kind'],
    [Number.NaN, 'wrong_kind'],
    [cycle, 'wrong_kind'],
    [new Date(), 'wrong_kind'],
    [Symbol('x'), 'wrong_kind'],
    [() => 1, 'wrong_kind'],
    ['\ud800', 'bad_text'],
    ['a\0', 'bad_text'],
  ];
  for (const [result, code] of results) {
    t.match(
      problem(
        one(
          field(
            'x',
            transform(() => result),
          ),
          ['text', 'text', false],
        ).map({ id: 'a', x: 1 }),
      ),
      { code },
    );
    t.equal(
      one(
        field(
          'x',
          transform(() => result),
        ),
        ['json', 'jsonb', false],
      ).map({ id: 'a', x: 1 }).kind,
      result instanceof Date ? 'mapped' : 'invalid',
    );
  }
  const thrower = (raw: unknown): never => {
    throw new Error(`secret ${String(raw)}`);
  };
  const made = problem(one(field('x', transform(thrower)), ['text', 'text', false]).map({ id: 'a', x: 'v' }));
  t.match(made, { code: 'user_function', fieldPath: 'x', externalId: 'a' });
  t.notMatch(JSON.stringify(made), 'secret');
  t.match(problem(createMapper({ ...form, only: thrower }).map(record)), {
    code: 'user_function',
    externalId: 'cus_1',
  });
  t.match(problem(createMapper({ ...form, schema: z.preprocess(thrower, schema) }).map(record)), {
    code: 'user_function',
    externalId: 'cus_1',
  });
  const asynchronous = createMapper({ ...form, schema: schema.refine(async () => true) });
  t.equal(asynchronous.map(record).kind, 'invalid');
  t.equal(
    mapped(
      one(
        field(
          'x',
          transform(() => undefined),
        ),
        ['text', 'text', false],
      ).map({ id: 'a', x: 1 }),
    ).content.x,
    null,
  );
});

const NAUGHTY = [
  '',
  '\0',
  '\ud800',
  '\udfff\ud800',
  '__proto__',
  'constructor',
  '1e999',
  'NaN',
  '😀'.repeat(1_000),
  '\u202e',
  "'; DROP TABLE x; --",
];
const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withNullPrototype: true,
  withSparseArray: true,
  withSet: true,
  withMap: true,
  withTypedArray: true,
  values: [fc.constantFrom(...NAUGHTY), fc.double(), fc.string({ unit: 'binary' })],
});
const nearRecord = fc.record(
  {
    id: anything,
    email: anything,
    amount_cents: anything,
    created: anything,
    metadata: anything,
    address: anything,
    lines: anything,
    status: anything,
  },
  { requiredKeys: [] },
);

test('map never throws, whatever the record', async () => {
  const open = createMapper({ ...form, schema: z.unknown() });
  for (const [subject, numRuns] of [
    [mapper, 500],
    [open, 1_500],
  ] as const) {
    fc.assert(
      fc.property(
        fc.oneof(
          anything,
          nearRecord,
          nearRecord.map((raw) => ({ ...record, ...raw })),
        ),
        fc.boolean(),
        (raw, isPartial) => {
          const made = subject.map(raw, { isPartial });
          subject.externalIdOf(raw);
          subject.parseId(raw);
          subject.versionOf(raw);
          subject.parseVersion(raw);
          if (made.kind !== 'mapped') return true;
          const text = JSON.stringify(made.content);
          return !/[\0\p{Cs}]/u.test(text) && subject.hashOf(JSON.parse(text)) === made.hash;
        },
      ),
      { numRuns },
    );
  }
});

test('map never throws on objects that fight back', async (t) => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const getter = Object.defineProperty({ ...record }, 'email', {
    enumerable: true,
    get: () => {
      throw new Error('no');
    },
  });
  const idGetter = Object.defineProperty({}, 'id', {
    enumerable: true,
    get: () => {
      throw new Error('no');
    },
  });
  const trap = new Proxy(
    { ...record },
    {
      getOwnPropertyDescriptor: () => {
        throw new Error('no');
      },
      has: () => {
        throw new Error('no');
      },
    },
  );
  for (const raw of [proxy, getter, idGetter, trap, [proxy], { ...record, metadata: proxy }]) {
    for (const isPartial of [false, true]) t.equal(mapper.map(raw, { isPartial }).kind, 'invalid');
    mapper.externalIdOf(raw);
    mapper.parseId(raw);
    mapper.versionOf(raw);
  }
});

test('the hash tells a changed record from the same one, and is the same for every channel', async (t) => {
  const hashOf = (raw: object) => mapped(mapper.map({ ...record, ...raw })).hash;
  t.equal(hashOf({}), hashOf({ email: 'a@b.de', extra: 'changed', metadata: { b: 1, tags: ['x', 'y'] } }));
  const changes = [
    { email: null },
    { email: 'a@b.dex' },
    { amount_cents: 2000 },
    { metadata: { tags: ['x', 'y'], b: 2 } },
    { address: {} },
  ];
  t.equal(new Set([hashOf({}), ...changes.map(hashOf)]).size, changes.length + 1);
});

test('the fingerprint changes with the mapping, and only with it', async (t) => {
  const printed = (more: Mapping) => createMapper({ ...form, mapping: { ...mapping, ...more } }).fingerprint;
  t.equal(printed({}), mapper.fingerprint);
  const changes: Mapping[] = [
    { email: field('email', trim) },
    { email: field('email', trim, lowercase) },
    { email: field('status') },
    { tags: field('metadata.tags', join('; ')) },
    { source: constant('store') },
    { status: field('status', withDefault('x')) },
    {
      email: field(
        'email',
        transform((text: string) => text),
      ),
    },
    {
      email: field(
        'email',
        transform((text: string) => `${text}!`),
      ),
    },
    { createdAt: field('updated_at', isoDate) },
  ];
  t.equal(new Set([mapper.fingerprint, ...changes.map(printed)]).size, changes.length + 1);
});

test('the fingerprint changes with the version and the marker', async (t) => {
  const printed = (more: Partial<typeof form>) => createMapper({ ...form, ...more }).fingerprint;
  const prints = [
    printed({}),
    printed({ version: { kind: 'counter', field: 'updated_at' } }),
    printed({ version: { kind: 'timestamp', field: 'elsewhere', format: 'iso', precision: 'second' } }),
    printed({ version: { kind: 'timestamp', field: 'updated_at', format: 'epoch_ms' } }),
    printed({ marker: { field: 'gone', equals: true } }),
    printed({ marker: { field: 'gone', equals: 1 } }),
  ];
  t.equal(new Set(prints).size, prints.length);
});
