import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { packageRoot } from '../../src/lib/package-root.ts';
import { startProgram } from '../process/setup.ts';

export const CONFIG = `
import { cursor, defineConfig, defineIntegration, entity, env, field, secret, signatures } from 'syncline';
import { pgTable, text } from 'drizzle-orm/pg-core';
import { z } from 'zod';

const people = pgTable('people', { id: text('id').primaryKey(), name: text('name') });
export default defineConfig({
  migrations: './drizzle',
  integrations: [
    defineIntegration({
      name: 'crm',
      source: { baseUrl: env('CRM_URL') },
      webhook: {
        signature: signatures.hmac({ secrets: [secret('CRM_SECRET')], header: 'x-signature' }),
        events: { '*': { entity: 'people', record: 'data' } },
      },
      entities: {
        people: entity({
          schema: z.object({ id: z.string(), name: z.string() }),
          key: 'id',
          version: { kind: 'none' },
          read: {
            list: { path: '/people', items: 'data', pagination: cursor({ param: 'after', next: 'next' }) },
            get: { path: '/people/{id}' },
          },
          target: people,
          mapping: { id: field('id'), name: field('name') },
        }),
      },
    }),
  ],
});
`;
const JOURNAL = {
  version: '7',
  dialect: 'postgresql',
  entries: [{ idx: 0, version: '7', when: 1_700_000_000_000, tag: '0000_people', breakpoints: true }],
};

/** A user's project outside of the package: its configuration, its migrations, and the packages that it would have installed. */
export function userProject(t: Test, config: string = CONFIG): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-project-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'node_modules'));
  for (const name of ['drizzle-orm', 'zod']) {
    symlinkSync(join(packageRoot(), 'node_modules', name), join(folder, 'node_modules', name));
  }
  mkdirSync(join(folder, 'drizzle', 'meta'), { recursive: true });
  writeFileSync(join(folder, 'drizzle', '0000_people.sql'), 'CREATE TABLE people (id text PRIMARY KEY, name text);');
  writeFileSync(join(folder, 'drizzle', 'meta', '_journal.json'), JSON.stringify(JOURNAL));
  writeFileSync(join(folder, 'syncline.config.ts'), config);
  return folder;
}

export const ENVIRONMENT = { CRM_URL: 'http://127.0.0.1:9', CRM_SECRET: 'canary-crm-secret' };

export async function runToEnd(t: Test, args: readonly string[], environment: Record<string, string>, folder: string) {
  const started = startProgram(t, args, environment, folder);
  const { code } = await started.ended;
  return { code, output: started.output() };
}
