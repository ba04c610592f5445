/** npm run build: compiles src/ into dist/, copies what is not TypeScript, makes the command executable. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });
const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
const compiled = spawnSync(process.execPath, [join(dirname(manifest), 'bin', 'tsc'), '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
cpSync(join(root, 'src'), dist, {
  recursive: true,
  filter: (path) => statSync(path).isDirectory() || extname(path) !== '.ts',
});
const command = join(dist, 'main.js');
if (existsSync(command)) chmodSync(command, 0o755);
