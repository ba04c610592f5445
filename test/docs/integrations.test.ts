import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import * as library from '../../src/index.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { codeBlocks, documents, readText } from './documents.ts';

const COMPILE_TIMEOUT_MS = 120_000;
const run = promisify(execFile);
const text = readText('docs/integrations.md');

test('the code of docs/integrations.md compiles', { timeout: COMPILE_TIMEOUT_MS }, async (t) => {
  const folder = mkdtempSync(join(packageRoot(), '.syncline-docs-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const blocks = codeBlocks(text, 'ts');
  t.ok(blocks.length > 1, 'there is code at all');
  for (const [index, code] of blocks.entries()) writeFileSync(join(folder, `block-${index}.ts`), code);
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../tsconfig.json', include: ['*.ts'] }));
  const compiler = join(packageRoot(), 'node_modules', '.bin', 'tsc');
  const options = { cwd: folder, timeout: COMPILE_TIMEOUT_MS, env: { ...process.env, NODE_OPTIONS: '' } };
  const output = await run(compiler, ['-p', 'tsconfig.json', '--noEmit'], options).then(
    ({ stdout }) => stdout,
    (error: { stdout?: string }) => error.stdout ?? String(error),
  );
  t.equal(output, '');
});

test('every function and value that a configuration can import is told', async (t) => {
  const names = Object.keys(library);
  t.ok(names.length > 20, 'there are names at all');
  t.same(
    names.filter((name) => !new RegExp(`\\b${name}\\b`).test(text)),
    [],
  );
  const groups = { signatures: library.signatures, handshakes: library.handshakes };
  for (const [group, members] of Object.entries(groups)) {
    for (const name of Object.keys(members)) t.ok(text.includes(`.${name}`), `${group}.${name}`);
  }
});

test('every option of a definition is told', async (t) => {
  const told = (name: string) => new RegExp(`\`[\\w.]*\\b${name}\\b|\\b${name}:`).test(text);
  const files = ['src/define/definition.ts', 'src/source/definition.ts', 'src/define/write.ts'];
  const options = files.flatMap((file) =>
    [...readText(file).matchAll(/^(?: {2}(?:readonly )?| {4,6}readonly )(\w+)(?:\?)?[(:]/gm)].flatMap(
      ([, name]) => name ?? [],
    ),
  );
  t.ok(options.length > 30, 'options are found at all');
  t.same(
    options.filter((name) => !told(name)),
    [],
  );
});

test('every file and page that a document names exists', async (t) => {
  for (const [document, content] of documents()) {
    const folder = document.startsWith('docs/') ? 'docs' : '.';
    const links = [...content.matchAll(/\]\((?!https?:)([^)#]+)/g)].flatMap(([, link]) => join(folder, link ?? ''));
    const files = [
      ...content.matchAll(/\b((?:src|test|examples|scripts|drizzle)\/[\w./-]*\w)(?=[`\s),;:]|$)/g),
    ].flatMap(([, file]) => file ?? []);
    for (const file of [...links, ...files]) t.ok(existsSync(join(packageRoot(), file)), `${document}: ${file}`);
  }
});
