import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { loadConfig } from '../../src/config/load.ts';
import { checkConfig } from '../../src/define/check-config.ts';
import { packageRoot } from '../../src/lib/package-root.ts';

/** A user's folder, outside of the package, with the packages that hers would have. */
function userFolder(t: Test, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-user-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'node_modules'));
  for (const name of ['drizzle-orm', 'zod']) {
    symlinkSync(join(packageRoot(), 'node_modules', name), join(folder, 'node_modules', name));
  }
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const CONFIG = `
import { cursor, defineConfig, defineIntegration, entity, env, field, secret, signatures } from 'syncline';
import { z } from 'zod';
import { people } from './schema.ts';

type Unused = { erased: true };
export default defineConfig({
  migrations: './drizzle',
  integrations: [
    defineIntegration({
      name: 'crm',
      source: { baseUrl: env('CRM_URL') },
      webhook: {
        signature: signatures.standardWebhooks({ secrets: [secret('CRM_SECRET')] }),
        events: { 'person.*': { entity: 'people', record: 'data' } },
      },
      entities: {
        people: entity({
          schema: z.object({ id: z.string(), name: z.string(), updated_at: z.string() }),
          key: 'id',
          version: { kind: 'timestamp', field: 'updated_at' },
          read: { list: { path: '/people', items: 'data', pagination: cursor({ param: 'after', next: 'next' }) } },
          target: people,
          mapping: { id: field('id'), name: field('name') },
        }),
      },
    }),
  ],
}) satisfies object;
`;
const SCHEMA = `
import { pgTable, text } from 'drizzle-orm/pg-core';
export const people = pgTable('people', { id: text('id').primaryKey(), name: text('name').notNull() });
`;

test('a TypeScript file outside of the package, importing from it and from its neighbours, is read without a build', async (t) => {
  const folder = userFolder(t, { 'config/syncline.config.ts': CONFIG, 'config/schema.ts': SCHEMA });
  const loaded = await loadConfig('config/syncline.config.ts', folder);
  t.match(loaded, { ok: true, folder: join(folder, 'config') });
  if (!loaded.ok) return;
  const environment = { CRM_URL: 'https://crm.example', CRM_SECRET: `whsec_${'a'.repeat(32)}` };
  const checked = checkConfig(loaded.definition, environment);
  t.ok(checked.ok, JSON.stringify(checked.ok ? '' : checked.problems));
  const unset = checkConfig(loaded.definition, {});
  t.match(
    unset.ok ? [] : unset.problems.map(({ problem }) => problem).join(),
    /CRM_URL[\s\S]*CRM_SECRET|CRM_SECRET[\s\S]*CRM_URL/,
  );
});

test('an absolute path and a JavaScript file are taken as well', async (t) => {
  const folder = userFolder(t, { 'my.config.mjs': 'export default { integrations: [] };' });
  t.match(await loadConfig(join(folder, 'my.config.mjs'), '/'), { ok: true, definition: { integrations: [] } });
});

test('what keeps a file from being read is told with the file and no stack', async (t) => {
  const folder = userFolder(t, {
    'throws.ts': `throw new Error('the reason');`,
    'throws-text.ts': `throw 'only a text';`,
    'syntax.ts': 'export default {{{',
    'missing-import.ts': `import './not-there.ts'; export default {};`,
    'missing-package.ts': `import 'no-such-package'; export default {};`,
    'no-default.ts': 'export const config = {};',
    'empty.ts': '',
    'undefined.ts': 'export default undefined;',
  });
  mkdirSync(join(folder, 'a-folder.ts'));
  const cases: readonly (readonly [file: string, problem: RegExp])[] = [
    ['none.ts', /none\.ts does not exist.*SYNCLINE_CONFIG/],
    ['throws.ts', /throws\.ts cannot be loaded: the reason/],
    ['throws-text.ts', /throws-text\.ts cannot be loaded/],
    ['syntax.ts', /syntax\.ts cannot be loaded/],
    ['missing-import.ts', /missing-import\.ts cannot be loaded[\s\S]*not-there/],
    ['missing-package.ts', /missing-package\.ts cannot be loaded[\s\S]*no-such-package/],
    ['no-default.ts', /no-default\.ts has no default export; expected defineConfig/],
    ['empty.ts', /empty\.ts has no default export/],
    ['undefined.ts', /undefined\.ts has no default export/],
    ['a-folder.ts', /a-folder\.ts/],
  ];
  for (const [file, problem] of cases) {
    const loaded = await loadConfig(file, folder);
    t.match(loaded.ok ? 'loaded' : loaded.problem, problem, file);
    t.notMatch(loaded.ok ? '' : loaded.problem, /\n\s+at /, file);
  }
});
