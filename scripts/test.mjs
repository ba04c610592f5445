/**
 * npm test [-- part of a path …] [--coverage]
 *
 * Compiles everything into build/ (which is the type check too), runs the tests there with tap, some files at a time, shows
 * failures in full and ends with the line `N passed, N failed`, counted from tap's own output: one per `test(…)`, and one
 * failure for each file that crashed, hung or held no test.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The longest takes two minutes on two free processors, and they may not be free. */
const FILE_TIMEOUT_S = 400;
const RUN_TIMEOUT_MS = 30 * 60_000;
/** Files at a time: one more than there are processors, since some wait for processes of their own; four need enough memory. */
const JOBS = Math.min(4, availableParallelism() + 1);

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const flags = process.argv.slice(2).filter((argument) => argument.startsWith('-'));
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const unknownFlag = flags.find((flag) => flag !== '--coverage');
if (unknownFlag !== undefined)
  fail(`Unknown option ${unknownFlag}. Usage: npm test -- [part of a path …] [--coverage]`);

const compiled = await run(programOf('typescript', 'tsc'), ['-p', 'tsconfig.test.json']);
if (compiled !== 0) fail('The code does not compile: see above. No test was run.');

const files = testFiles().filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)));
if (files.length === 0) fail(`No test file matches ${filters.join(', ') || 'test/**/*.test.ts'}`);
process.exitCode = await runTests(files.map((file) => join('build', file.replace(/\.ts$/, '.js'))));

/** From the sources, not from build/: that may still hold tests that were deleted. */
function testFiles() {
  return readdirSync(join(root, 'test'), { recursive: true })
    .map((name) => join('test', String(name)))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => name.split(sep).join('/'))
    .sort();
}

async function runTests(compiledFiles) {
  const nodeOptions = [
    process.env.NODE_OPTIONS,
    `--import=${pathToFileURL(join(root, 'scripts', 'tap-compiled.mjs')).href}`,
    '--conditions=syncline-compiled',
    '--enable-source-maps',
  ];
  const options = flags.includes('--coverage') ? ['--allow-incomplete-coverage'] : ['--disable-coverage'];
  const tap = spawn(
    process.execPath,
    [
      programOf('tap', 'tap'),
      'run',
      `-j${JOBS}`,
      `-t${FILE_TIMEOUT_S}`,
      '--reporter=tap',
      ...options,
      ...compiledFiles,
    ],
    {
      cwd: root,
      // A group of its own, so that a run that hangs can be ended together with what it started.
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        NODE_OPTIONS: nodeOptions.filter(Boolean).join(' '),
        ...(flags.includes('--coverage') ? { SYNCLINE_TEST_COVERAGE: 'on' } : {}),
      },
    },
  );
  let isOutOfTime = false;
  const endGroup = (signal) => {
    try {
      process.kill(-tap.pid, signal);
    } catch {
      // It has ended already.
    }
  };
  const timer = setTimeout(() => {
    isOutOfTime = true;
    endGroup('SIGKILL');
  }, RUN_TIMEOUT_MS);
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      endGroup('SIGKILL');
      process.exit(130);
    });
  }
  const ended = new Promise((resolve) => tap.once('close', (code) => resolve(code ?? 1)));
  const counts = await report(createInterface({ input: tap.stdout }));
  const code = await ended;
  clearTimeout(timer);
  const unreported = compiledFiles.map(titleOf).filter((title) => !counts.reported.has(title));
  if (isOutOfTime) console.log(`\nThe whole run took longer than ${RUN_TIMEOUT_MS / 60_000} minutes and was ended.`);
  if (unreported.length > 0) console.log(`\nNo result came from: ${unreported.join(', ')}`);
  // tap itself may object (coverage, a bad option) although every test passed: then something failed all the same.
  const failed = counts.failed + unreported.length || (code === 0 ? 0 : 1);
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  console.log(`\n${counts.passed} passed, ${failed} failed${skipped}`);
  return failed === 0 && counts.passed > 0 ? 0 : 1;
}

/**
 * Reads tap's stream: files stand at the margin, their tests four spaces in, assertions deeper. Prints a line for each
 * file, all of it where something failed, and the reason of each skip.
 */
async function report(lines) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const reported = new Map();
  const skips = new Set();
  let current = blankFile();
  let diagnosticsOf = null;

  function finish(file, name, isNotOk) {
    const title = titleOf(name);
    // A crash, a timeout, a leaked handle fails the file though no test of it did. It counts once.
    if (isNotOk && file.failed === 0 && !reported.get(title)) file.failed = 1;
    // A file without a test proves nothing.
    if (file.passed + file.failed + file.skipped === 0 && !reported.has(title)) file.failed = 1;
    const isFailed = isNotOk || file.failed > 0;
    reported.set(title, isFailed || reported.get(title) === true);
    console.log(`${isFailed ? 'FAILED' : 'ok'}  ${title}: ${file.passed} passed, ${file.failed} failed${file.time}`);
    if (isFailed) console.log(file.lines.join('\n'));
    for (const count of Object.keys(total)) total[count] += file[count];
  }

  for await (const line of lines) {
    if (diagnosticsOf !== null && !diagnosticsOf.isBegun && line !== '  ---') {
      finish(diagnosticsOf, diagnosticsOf.name, true);
      diagnosticsOf = null;
    }
    if (diagnosticsOf !== null) {
      diagnosticsOf.isBegun = true;
      diagnosticsOf.lines.push(line);
      if (line !== '  ...') continue;
      // A point for a timeout names its file only here.
      const expired = diagnosticsOf.lines.map((text) => /^ {2}expired: (.+)$/.exec(text)?.[1]).find(Boolean);
      finish(diagnosticsOf, expired ?? diagnosticsOf.name, true);
      diagnosticsOf = null;
      continue;
    }
    const point = parsePoint(line);
    if (point === null || point.isTest) current.lines.push(line);
    if (line.startsWith('Bail out!')) console.log(line);
    if (point === null) continue;
    const isSkipped = point.directive !== undefined && point.reason !== 'no tests found';
    if (isSkipped) skips.add(`${point.name}: ${point.reason || point.directive}`);
    if (point.isTest || isSkipped) {
      if (isSkipped) current.skipped += 1;
      else if (point.isNotOk) current.failed += 1;
      else current.passed += 1;
    }
    if (point.isTest) continue;
    const file = {
      ...current,
      name: point.name,
      time: point.ms === undefined ? '' : ` (${(Number(point.ms) / 1000).toFixed(1)} s)`,
    };
    current = blankFile();
    if (point.isNotOk) diagnosticsOf = file;
    else finish(file, point.name, false);
  }
  if (diagnosticsOf !== null) finish(diagnosticsOf, diagnosticsOf.name, true);
  if (skips.size > 0) console.log(`\nSkipped:\n${[...skips].map((skip) => `  ${skip}`).join('\n')}`);
  return { ...total, reported };
}

/** The source's name, of a compiled file's. */
function titleOf(name) {
  return name.replace(/^build[/\\]/, '').replace(/\.js$/, '.ts');
}

function blankFile() {
  return { lines: [], isBegun: false, passed: 0, failed: 0, skipped: 0 };
}

/** A result of a file or of a test in it; null for everything else. */
function parsePoint(line) {
  const match = /^( {4})?(not )?ok \d+(?: - )?(.*?)(?: # (SKIP|TODO)\b ?(.*?))?(?: # time=([\d.]+)ms)?(?: \{)?$/i.exec(
    line,
  );
  if (match === null) return null;
  const [, indent, not, name, directive, reason, ms] = match;
  return { isTest: indent !== undefined, isNotOk: not !== undefined, name, directive, reason, ms };
}

function programOf(packageName, program) {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve(`${packageName}/package.json`);
  return join(dirname(manifest), require(manifest).bin[program]);
}

function run(program, args) {
  const child = spawn(process.execPath, [program, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1)));
}

function fail(message) {
  console.error(message);
  console.log('0 passed, 1 failed');
  process.exit(1);
}
