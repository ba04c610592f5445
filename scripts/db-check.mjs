/** Fails when src/db/schema.ts and drizzle/ disagree: asks drizzle-kit, on a copy, whether it would write another migration. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const TIMEOUT_MS = 60_000;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const copy = mkdtempSync(join(tmpdir(), 'syncline-db-check-'));
try {
  process.exitCode = check();
} finally {
  rmSync(copy, { recursive: true, force: true });
}

function check() {
  const migrations = join(copy, 'drizzle');
  cpSync(join(root, 'drizzle'), migrations, { recursive: true });
  const journal = JSON.parse(readFileSync(join(migrations, 'meta', '_journal.json'), 'utf8'));
  const unlisted = sqlFiles(migrations).filter((name) => !journal.entries.some(({ tag }) => `${tag}.sql` === name));
  if (unlisted.length > 0) return fail(`drizzle/meta/_journal.json does not list ${unlisted.join(', ')}`);
  const config = join(copy, 'drizzle.config.json');
  const settings = { dialect: 'postgresql', schema: join(root, 'src/db/schema.ts'), schemaFilter: ['sync'] };
  // drizzle-kit takes the output folder only relative to where it runs.
  writeFileSync(config, JSON.stringify({ ...settings, out: relative(root, migrations) }));
  const program = join(root, 'node_modules', 'drizzle-kit', 'bin.cjs');
  const generated = spawnSync(process.execPath, [program, 'generate', `--config=${config}`, '--name=difference'], {
    cwd: root,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    // It asks about renames when it finds some, and there is nobody to answer.
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const added = sqlFiles(migrations).filter((name) => name.endsWith('_difference.sql'));
  if (added.length > 0) {
    console.error(readFileSync(join(migrations, added[0]), 'utf8'));
    return fail('src/db/schema.ts differs from drizzle/ as above. Run: npm run db:generate');
  }
  if (generated.status !== 0 || !/No schema changes/.test(generated.stdout)) {
    console.error(generated.stdout, generated.stderr);
    return fail('src/db/schema.ts could not be compared with drizzle/, see above. Run: npm run db:generate');
  }
  return 0;
}

function sqlFiles(folder) {
  return readdirSync(folder).filter((name) => name.endsWith('.sql'));
}

function fail(message) {
  console.error(message);
  return 1;
}
