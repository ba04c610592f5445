import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureApply, measureLatency } from './apply.ts';
import { measureCapture } from './capture.ts';
import { measureClient } from './client.ts';
import { measureIngest } from './ingest.ts';
import { createEmbedded, openPostgres, type Place } from './places.ts';
import { measurePushes } from './push.ts';
import { measureMemory, measureReconcile, measureStart } from './reconcile.ts';
import { atLeast, atMost, createReport } from './report.ts';
import type { Setting } from './setting.ts';

const USAGE = `npm run bench -- [options]
  --quick          smaller and not repeated: minutes become one
  --only PART      client, ingest, apply, capture, push, reconcile, memory or embedded; several times for several
  --postgres URL   a server to make databases on; default DATABASE_URL, else a private one
  --records N      of the large reconcile (default 200000)
  --json           the figures as JSON on standard output, everything else on standard error
  --profile        a CPU profile of every server, in bench/results/`;

const PARTS = ['client', 'ingest', 'apply', 'capture', 'push', 'reconcile', 'memory', 'embedded'] as const;
const RESULTS = join(import.meta.dirname, 'results');
/** On the embedded database, whose runs are the slower ones. */
const EMBEDDED_RECORDS = 20_000;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [...PARTS] },
    postgres: { type: 'string' },
    records: { type: 'string', default: '200000' },
    json: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

async function main(): Promise<void> {
  if (options.help || !options.only.every((part) => PARTS.some((known) => known === part))) {
    console.log(USAGE);
    process.exitCode = options.help ? 0 : 1;
    return;
  }
  const print = (line: string) => (options.json ? console.error(line) : console.log(line));
  const report = createReport(print);
  const isQuick = options.quick;
  const setting: Setting = {
    report,
    repeats: isQuick ? 1 : 3,
    isQuick,
    records: isQuick ? Math.min(20_000, Number(options.records)) : Number(options.records),
    profileDir: options.profile ? RESULTS : undefined,
  };
  const startedAt = new Date();
  print(`${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.version}; all on this machine,`);
  print(
    `server, database and load generator share its cores. ${setting.repeats} repetitions, medians; ratios within one run.`,
  );

  if (options.only.includes('client')) await measureClient(setting);
  const needsDatabase = options.only.some((part) => part !== 'client');
  const url = options.postgres ?? (process.env.DATABASE_URL || undefined);
  const database = needsDatabase ? await openPostgres(url) : null;
  if (database === null && needsDatabase)
    print('\nNo PostgreSQL: neither --postgres nor its programs. Only the embedded database is measured.');
  else if (database !== null) print(`PostgreSQL ${database.version}${database.isPrivate ? ', private, fsync on' : ''}`);
  try {
    let reference: number | null = null;
    if (database !== null) {
      const within = async <T>(part: string, work: (place: Place) => Promise<T>): Promise<T | null> =>
        options.only.includes(part) ? await using(await database.create(), work) : null;
      reference = await within('ingest', (place) => measureIngest(setting, place));
      await within('apply', async (place) => {
        await measureApply(setting, place);
        await measureLatency(setting, place);
      });
      await within('capture', (place) => measureCapture(setting, place));
      await within('push', (place) => measurePushes(setting, place));
      for (const pageSize of [100, 1000])
        await within('reconcile', (place) => measureReconcile(setting, place, { pageSize, hasVersions: true }));
      await within('reconcile', (place) => measureReconcile(setting, place, { pageSize: 1000, hasVersions: false }));
      if (options.only.includes('memory')) await measureMemory(setting, () => database.create());
    }
    if (options.only.includes('embedded')) await measureEmbedded(setting, reference);
  } finally {
    await database?.remove();
  }
  const { figures } = report;
  const missed = figures.filter(({ goal }) => goal !== null && !goal.isMet);
  print(`\n${figures.filter(({ goal }) => goal?.isMet).length} goals met, ${missed.length} not met`);
  for (const { group, name, value, goal } of missed)
    print(`  ${group}: ${name} ${value.toFixed(2)}, goal ${goal?.text}`);
  const result = {
    startedAt,
    seconds: (Date.now() - startedAt.getTime()) / 1000,
    machine: machine(),
    options,
    figures,
  };
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, `${startedAt.toISOString().replaceAll(':', '-')}.json`), JSON.stringify(result, null, 2));
  if (options.json) console.log(JSON.stringify(result, null, 2));
}

async function measureEmbedded(setting: Setting, reference: number | null): Promise<void> {
  const small = { ...setting, records: Math.min(setting.records, EMBEDDED_RECORDS) };
  const rate = await using(await createEmbedded(), (place) => measureIngest(small, place));
  if (reference !== null)
    setting.report.add(
      'Embedded against PostgreSQL',
      'durable ingest, 64 connections',
      rate / reference,
      '',
      atLeast(0.5),
    );
  const { startMs } = await measureStart(setting, await createEmbedded());
  setting.report.add('Embedded: start', 'to ready, database migrated', startMs, 'ms', atMost(2_000));
  await using(await createEmbedded(), (place) => measureApply(small, place));
  await using(await createEmbedded(), (place) => measureReconcile(small, place, { pageSize: 100, hasVersions: true }));
}

async function using<T>(place: Place, work: (place: Place) => Promise<T>): Promise<T> {
  try {
    return await work(place);
  } finally {
    await place.remove();
  }
}

const machine = () => ({
  cores: cpus().length,
  model: cpus()[0]?.model,
  memoryMb: totalmem() / 2 ** 20,
  node: process.version,
});

await main();
