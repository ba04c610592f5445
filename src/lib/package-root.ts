import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAX_LEVELS = 6;

/** Where Syncline is installed: the folder of its package.json and `drizzle/`, whether this runs as source, from build/ or from dist/. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let level = 0; level < MAX_LEVELS; level += 1) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'drizzle', 'meta'))) return folder;
    folder = dirname(folder);
  }
  throw new Error('Syncline is installed incompletely: its folder drizzle/ is missing. Install it again');
}
