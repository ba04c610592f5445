import { existsSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export type LoadedConfig =
  | { readonly ok: true; readonly definition: unknown; readonly folder: string }
  | { readonly ok: false; readonly problem: string };

/**
 * Imports the user's configuration file, TypeScript or JavaScript, without a build. What it imports as `syncline` is this
 * very package, wherever the file lies. Its own code runs; its errors come back with the file's name.
 */
export async function loadConfig(path: string, workingFolder: string): Promise<LoadedConfig> {
  const file = resolve(workingFolder, path);
  if (!existsSync(file)) {
    return { ok: false, problem: `${path} does not exist; name your configuration file in SYNCLINE_CONFIG` };
  }
  try {
    const loaded = await importFile(file);
    const definition = isModule(loaded) && 'default' in loaded ? loaded.default : undefined;
    if (definition === undefined)
      return { ok: false, problem: `${path} has no default export; expected defineConfig({ … })` };
    return { ok: true, definition, folder: dirname(file) };
  } catch (error) {
    return {
      ok: false,
      problem: `${path} cannot be loaded: ${error instanceof Error ? error.message : 'unknown failure'}`,
    };
  }
}

/** Under a loader that reads TypeScript (as this file's own ending shows) the runtime can import the file by itself. */
async function importFile(file: string): Promise<unknown> {
  const own = fileURLToPath(import.meta.url);
  const isSourceRun = own.endsWith('.ts');
  const packageFolder = resolve(dirname(own), '..', '..');
  if (isSourceRun && file.startsWith(packageFolder + sep)) return await import(pathToFileURL(file).href);
  const { createJiti } = await import('jiti');
  const entry = resolve(dirname(own), '..', isSourceRun ? 'index.ts' : 'index.js');
  const jiti = createJiti(import.meta.url, { alias: { syncline: entry }, interopDefault: false });
  return await jiti.import(file);
}

const isModule = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
