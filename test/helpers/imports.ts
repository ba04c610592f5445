import { posix } from 'node:path';

/** One import of one file: static, re-exported or dynamic; of types or of values. */
export type Import = { readonly file: string; readonly specifier: string; readonly isType: boolean };

/** `src/db/connect.ts` → `db`; a file directly under src is its own layer: `src/app.ts` → `app.ts`. */
type Layer = string;

const FOUNDATION = ['model', 'lib'];
const PUBLIC = ['index.ts'];

/** Who may import what, besides itself: the table of the layout. */
const MAY_IMPORT: { readonly [layer: Layer]: readonly Layer[] | 'everything' } = {
  lib: [],
  model: ['lib'],
  mapping: FOUNDATION,
  webhook: FOUNDATION,
  source: FOUNDATION,
  db: FOUNDATION,
  worker: FOUNDATION,
  define: ['mapping', 'webhook', 'source', ...FOUNDATION],
  presets: PUBLIC,
  store: ['db', ...FOUNDATION],
  sync: ['store', 'source', 'webhook', 'mapping', 'define', ...FOUNDATION],
  http: ['sync', 'store', 'define', ...FOUNDATION],
  observe: ['sync', 'store', 'define', ...FOUNDATION],
  dashboard: ['sync', 'store', 'define', ...FOUNDATION],
  // A command starts the server: the wall stands between it and the parts, not between it and the wiring.
  cli: ['app.ts', 'server.ts', 'config', 'sync', 'store', 'define', ...FOUNDATION],
  config: ['define', ...FOUNDATION],
  // A check of an integration starts a server and reads its database: the wall stands where that of a command does.
  testing: ['index.ts', 'server.ts', 'sync', 'store', 'define', 'webhook', 'source', 'mapping', ...FOUNDATION],
  'app.ts': 'everything',
  'assemble.ts': 'everything',
  'client.ts': 'everything',
  'server.ts': 'everything',
  'two-way-workers.ts': 'everything',
  'main.ts': ['app.ts', 'config', 'cli'],
  'index.ts': 'everything',
};

/** Packages that only some layers may know. */
const FENCED_PACKAGES: readonly { readonly pattern: RegExp; readonly layers: readonly Layer[] }[] = [
  { pattern: /^drizzle-orm(\/|$)/, layers: ['db', 'store', 'define'] },
  { pattern: /^(postgres|@electric-sql\/pglite)(\/|$)/, layers: ['db'] },
  { pattern: /^(fastify|@fastify\/.+|fastify-.+)$/, layers: ['http', 'app.ts'] },
];

/**
 * Files behind a wall that may be used from beyond it. The flows hold a database as a value and hand it to the store, and
 * must tell a lost connection from a bad row; they do not speak to it.
 */
const DOORS: readonly { readonly file: string; readonly onlyTypes: boolean; readonly layers: readonly Layer[] }[] = [
  { file: 'src/db/connect.ts', onlyTypes: true, layers: ['sync', 'http', 'cli', 'observe', 'dashboard', 'testing'] },
  { file: 'src/db/failure.ts', onlyTypes: false, layers: ['sync', 'http', 'cli', 'observe', 'dashboard'] },
  { file: 'src/db/errors.ts', onlyTypes: false, layers: ['sync', 'http', 'cli', 'observe', 'dashboard'] },
  { file: 'src/db/instants.ts', onlyTypes: false, layers: ['sync'] },
];

/** Layers whose files stand side by side and do not know each other. */
const NO_SIBLINGS: readonly Layer[] = ['store'];

/** What an import breaks, in words that name the file and the import; null when it is allowed. */
export function violation({ file, specifier, isType }: Import): string | null {
  const from = layerOf(file);
  const refuse = (why: string) => `${file} imports ${specifier}: ${why}`;
  if (!specifier.startsWith('.')) {
    const fence = FENCED_PACKAGES.find(({ pattern }) => pattern.test(specifier));
    if (fence === undefined || fence.layers.includes(from)) return null;
    return refuse(`only ${fence.layers.join(', ')} may`);
  }
  const target = posix.join(posix.dirname(file), specifier);
  if (!target.startsWith('src/')) return refuse('it lies outside of src/');
  if (!specifier.endsWith('.ts')) return refuse('an import names its file, with its ending');
  const to = layerOf(target);
  if (to === 'main.ts') return refuse('nothing imports the program itself');
  if (to !== 'index.ts' && posix.basename(target) === 'index.ts')
    return refuse('there are no barrels: import the file that defines the thing');
  if (to === from) return NO_SIBLINGS.includes(from) ? refuse(`files in ${from} do not import each other`) : null;
  const door = DOORS.find((one) => one.file === target && one.layers.includes(from));
  if (door?.onlyTypes === true && !isType) return refuse('only with `import type`');
  if (door !== undefined) return null;
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) return refuse(`src/${from} has no place in the table of layers: give it one`);
  if (allowed === 'everything' || allowed.includes(to)) return null;
  return refuse(`${from} may import ${allowed.length === 0 ? 'nothing of ours' : allowed.join(', ')}`);
}

const layerOf = (path: string): Layer => path.split('/')[1] ?? path;

const STATEMENT = /(?:^|[;}\s])(?:import|export)\s+(type\s+)?(?:[\w$*{}\s,]+?\s+from\s+)?['"]([^'"\n]+)['"]/g;
const DYNAMIC = /\b(?:import|require|import\.meta\.resolve)\s*\(\s*['"`]([^'"`\n]+)['"`]/g;

/** Every import, re-export and dynamic import of a source text. Comments and what merely looks like one in a string are left out. */
export function importsOf(file: string, source: string): Import[] {
  const code = withoutComments(source);
  const fixed = [...code.matchAll(STATEMENT)].map(([, type, specifier = '']) => ({
    specifier,
    isType: type !== undefined,
  }));
  const dynamic = [...code.matchAll(DYNAMIC)].map(([, specifier = '']) => ({ specifier, isType: false }));
  return [...fixed, ...dynamic].map((one) => ({ file, ...one }));
}

/** True when a file only hands on what others define. */
export function isBarrel(source: string): boolean {
  const code = withoutComments(source).trim();
  const rest = code.replaceAll(/export\s+(?:type\s+)?(?:\*|\*\s+as\s+\w+|\{[^}]*\})\s+from\s+['"][^'"]+['"];?/g, '');
  return code !== '' && rest.trim() === '';
}

/** Strings and templates are matched first and kept, so that a `//` in a URL is no comment. */
function withoutComments(source: string): string {
  return source.replaceAll(
    /('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (_, text) => text ?? '',
  );
}
