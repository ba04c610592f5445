import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { packageRoot } from '../src/lib/package-root.ts';
import { importsOf, isBarrel, violation } from './helpers/imports.ts';

const sources = readdirSync(join(packageRoot(), 'src'), { recursive: true })
  .map((name) => `src/${String(name).replaceAll('\\', '/')}`)
  .filter((name) => name.endsWith('.ts'))
  .map((file) => ({ file, source: readFileSync(join(packageRoot(), file), 'utf8') }));

/** What `syncline` and `syncline/testing` are. */
const PUBLIC = ['src/index.ts', 'src/testing/index.ts'];

test('every import in src/ obeys the table of layers', async (t) => {
  const imports = sources.flatMap(({ file, source }) => importsOf(file, source));
  t.ok(imports.length > sources.length, 'imports are found at all');
  t.same(
    imports.map(violation).filter((found) => found !== null),
    [],
  );
});

test('no file but the public ones only hands on what others define', async (t) => {
  t.same(
    sources.filter(({ file, source }) => !PUBLIC.includes(file) && isBarrel(source)).map(({ file }) => file),
    [],
  );
});

test('an import that crosses a wall is named with its file', async (t) => {
  const broken: readonly [file: string, specifier: string][] = [
    ['src/lib/ids.ts', '../model/run.ts'],
    ['src/model/run.ts', '../db/schema.ts'],
    ['src/mapping/field.ts', '../webhook/verify.ts'],
    ['src/mapping/field.ts', 'drizzle-orm'],
    ['src/sync/apply.ts', 'drizzle-orm/pg-core'],
    ['src/sync/apply.ts', '../db/connect.ts'],
    ['src/store/inbox.ts', './hints.ts'],
    ['src/store/inbox.ts', 'postgres'],
    ['src/http/webhooks.ts', '../mapping/field.ts'],
    ['src/sync/receive.ts', 'fastify'],
    ['src/sync/receive.ts', '@fastify/rate-limit'],
    ['src/cli/serve.ts', '../http/server.ts'],
    ['src/cli/serve.ts', '../main.ts'],
    ['src/app.ts', './main.ts'],
    ['src/presets/stripe.ts', '../webhook/verify.ts'],
    ['src/define/entity.ts', '../store/inbox.ts'],
    ['src/db/connect.ts', '../model/index.ts'],
    ['src/db/connect.ts', '../model/run.js'],
    ['src/db/connect.ts', '../../test/helpers/database.ts'],
    ['src/nowhere/x.ts', '../lib/ids.ts'],
  ];
  for (const [file, specifier] of broken) {
    const found = violation({ file, specifier, isType: false });
    t.match(found, file);
    t.match(found, specifier);
  }
});

test('an import that the table allows is allowed', async (t) => {
  const allowed: readonly [file: string, specifier: string][] = [
    ['src/lib/ids.ts', 'node:crypto'],
    ['src/lib/ids.ts', './other.ts'],
    ['src/model/run.ts', '../lib/ids.ts'],
    ['src/source/auth/bearer.ts', '../call.ts'],
    ['src/store/inbox.ts', 'drizzle-orm'],
    ['src/define/entity.ts', 'drizzle-orm/pg-core'],
    ['src/http/server.ts', 'fastify'],
    ['src/app.ts', './http/server.ts'],
    ['src/cli/serve.ts', '../app.ts'],
    ['src/cli/serve.ts', '../config/load.ts'],
    ['src/main.ts', './cli/cli.ts'],
  ];
  for (const [file, specifier] of allowed)
    t.equal(violation({ file, specifier, isType: false }), null, `${file} ${specifier}`);
});

test('a flow may hold a database, and not open one', async (t) => {
  const holding = { file: 'src/sync/apply.ts', specifier: '../db/connect.ts' };
  t.equal(violation({ ...holding, isType: true }), null);
  t.match(violation({ ...holding, isType: false }), 'only with `import type`');
  t.equal(violation({ file: 'src/sync/apply.ts', specifier: '../db/failure.ts', isType: false }), null);
  t.match(
    violation({ file: 'src/mapping/field.ts', specifier: '../db/failure.ts', isType: true }),
    'mapping may import',
  );
});

test('every way of importing is seen, and nothing else is taken for one', async (t) => {
  const source = `
    import a from './a.ts';
    import type { B } from "./b.ts"; import './c.ts';
    import d, { type E,
      f as g } from './d.ts';
    import * as h from './h.ts';
    export { i } from './i.ts';
    export * from './j.ts';
    export type * as k from './k.ts';
    const l = await import('./l.ts');
    type M = import('./m.ts').M;
    // import n from './n.ts';
    /* import o from './o.ts'; */
    const url = 'http://host/path'; import p from './p.ts';
    const text = 'nothing from "./q.ts"';
  `;
  const imports = importsOf('src/x.ts', source);
  t.same(
    imports.filter(({ isType }) => isType).map(({ specifier }) => specifier),
    ['./b.ts', './k.ts'],
  );
  t.same(
    imports.map(({ specifier }) => specifier).sort(),
    ['a', 'b', 'c', 'd', 'h', 'i', 'j', 'k', 'l', 'm', 'p'].map((name) => `./${name}.ts`),
  );
});

test('a file of re-exports is a barrel, one that defines something is not', async (t) => {
  t.equal(isBarrel(`// all of it\nexport * from './a.ts';\nexport { b } from './b.ts';\n`), true);
  t.equal(isBarrel(`export type { Db } from './query.ts';\nexport const x = 1;\n`), false);
  t.equal(isBarrel(''), false);
});
