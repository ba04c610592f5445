import { setTimeout as wait } from 'node:timers/promises';
import type { IntegrationDefinition } from '../define/definition.ts';
import { compareAll, type EntityDifference, isEqual } from './check-equality.ts';
import { createLocalEditor, type LocalEditor } from './check-local-edits.ts';
import { problemsOfRecords } from './check-records.ts';
import { createSourceEditor, type SourceEditor } from './check-source-edits.ts';
import { readWaiting, wordsOfWaiting } from './check-waiting.ts';
import { reasonsOf, wordsOf, wordsOfRuns } from './check-words.ts';
import { openWorld, type World } from './check-world.ts';
import { createRandom, type Random } from './random.ts';
import { ALL_FAULTS, FAULTS_OFF, type SettingsPatch } from './settings.ts';
import { createStandIn, declaredLagMs, type StandInEntity } from './stand-in.ts';

export type ConvergenceOptions = {
  /** By entity, for each of the integration: where its records come from, and what is known of the source. */
  readonly entities: Readonly<Record<string, StandInEntity>>;
  /** Folder of drizzle migrations that makes the target tables. Default: tables are made as their definitions describe them. */
  readonly migrations?: string | URL;
  /** The same seed makes the same records and draws the same faults; their timing may differ. Default 7. */
  readonly seed?: number;
  /** Records of each entity at the beginning. Default 40. */
  readonly records?: number;
  /** Changes of each entity in each part of the check. Default 30. */
  readonly edits?: number;
  /** Coarseness of the source's clock, in milliseconds. Default 1,000. */
  readonly tickMs?: number;
  /** How far the source's reads are behind, at most, in milliseconds. Default: what `readLag` allows for, at most 500. */
  readonly maxLagMs?: number;
  /** What goes wrong in the part with faults. Default `ALL_FAULTS`, with shorter waits. */
  readonly faults?: SettingsPatch;
  /** How long the work that a part has left may take, in milliseconds. Default 30,000. */
  readonly settleMs?: number;
  /** Pushes that are parked in the end, and rows that differ for it, do not count against it. Default false. */
  readonly mayPark?: boolean;
};

/** One part of the check, and how things stood after it. */
export type ConvergencePart = {
  readonly name:
    | 'first load'
    | 'webhooks'
    | 'incremental run'
    | 'edits here'
    | 'faults'
    | 'full run'
    | 'second full run';
  readonly isEqual: boolean;
  readonly differences: readonly EntityDifference[];
  /** What it found, in words. */
  readonly words: readonly string[];
};

export type ConvergenceReport = {
  /** The last full run left every table equal to its source, and every part did what it is there for. */
  readonly converged: boolean;
  readonly parts: readonly ConvergencePart[];
  /** Where the definition is not as the source is, and what was set aside, in words: what may explain a difference. */
  readonly reasons: readonly string[];
  /** The whole report, a line each, for people. */
  readonly lines: readonly string[];
};

const DEFAULTS = { seed: 7, records: 40, edits: 30, tickMs: 1_000, settleMs: 30_000, mayPark: false };
const MAX_DEFAULT_LAG_MS = 500;
const EDIT_GAP_MS = 15;
const SEEDED_HISTORY_MS = 3_600_000;
/** Faults as they are, but quick: nobody wants to wait for them. */
const QUICK_FAULTS: SettingsPatch = {
  ...ALL_FAULTS,
  webhookMaxDelayMs: 500,
  webhookBackoffMs: 50,
  apiMaxSlowMs: 300,
  lateCommitMaxMs: 300,
  writeZombieAfterMs: 500,
  writeTouchMaxMs: 300,
};

/**
 * Runs an integration against a hostile stand-in of its source, on an embedded database in memory: a first load, changes that
 * webhooks tell of, changes that they do not, everything going wrong at once, and a full run that must heal it. Nothing of the
 * real source is asked: its base URL, credentials and secrets are made up; declared rate limits, schedules, the breaker and
 * the source's headers are left out; webhooks are signed as Standard Webhooks say. Rows of two-way entities are edited too,
 * and every edit must come to its record, or be kept in a conflict. Throws `StartError` when the definition itself is wrong.
 */
export async function checkConvergence(
  integration: IntegrationDefinition,
  options: ConvergenceOptions,
): Promise<ConvergenceReport> {
  const settings = { ...DEFAULTS, maxLagMs: Math.min(declaredLagMs(integration), MAX_DEFAULT_LAG_MS), ...options };
  const made = createStandIn(integration, settings);
  if ('impossible' in made) return report([], [made.impossible]);
  const random = createRandom(settings.seed, 'edits');
  const problems = Object.entries(integration.entities).flatMap(([name, entity]) => {
    const own = options.entities[name];
    return own === undefined ? [] : problemsOfRecords({ name, entity, own, newId: made.standIn.newId, random });
  });
  if (problems.length > 0) return report([], problems);
  const world = await openWorld(integration, { standIn: made.standIn, migrations: options.migrations });
  try {
    const parts = await runParts(world, { integration, settings, random });
    const { entities } = options;
    return report(parts, await reasonsOf(world, { definition: integration, entities, maxLagMs: settings.maxLagMs }));
  } finally {
    await world.close();
  }
}

type Settings = typeof DEFAULTS & ConvergenceOptions & { readonly maxLagMs: number };
type PartsContext = {
  readonly integration: IntegrationDefinition;
  readonly settings: Settings;
  readonly random: Random;
};

async function runParts(world: World, { integration, settings, random }: PartsContext): Promise<ConvergencePart[]> {
  const { source } = world.standIn;
  const editors = editorsOf(world, { integration, settings, random });
  const parts: ConvergencePart[] = [];
  /**
   * `problems` make the part a bad one. What edits of rows came to is asked when the work is done. @returns whether a run
   * may heal what is bad: not what came of edits.
   */
  const end = async (
    name: ConvergencePart['name'],
    problems: readonly string[] = [],
    locals: readonly LocalEditor[] = [],
  ): Promise<boolean> => {
    const left = await world.settle(settings.settleMs);
    const differences = await compareAll(world, settings);
    const edits = locals.length === 0 ? [] : await problemsOfEdits(world, locals, settings);
    const isInStep = left === null && problems.length === 0 && differences.every(isEqual);
    parts.push({
      name,
      isEqual: isInStep && edits.length === 0,
      differences,
      words: [
        ...wordsOf(differences),
        ...(name === 'edits here' ? wordsOfEdits(world, locals) : []),
        ...problems,
        ...edits,
        ...(left === null ? [] : [`After ${settings.settleMs} ms there was still work: ${left}.`]),
      ],
    });
    return !isInStep;
  };

  const lag = { readLag: settings.maxLagMs > 0 ? LAG_SHARE : 0 };
  source.set(lag);
  seedRecords(world, settings, random);
  await end('first load', wordsOfRuns(await world.reconcile('full'), 'full'));
  // What cannot be loaded cannot be kept in step either.
  if (parts[0]?.isEqual === false) return parts;

  if (integration.webhook !== undefined) {
    source.setWebhookUrl(new URL(`${world.address}/webhooks/${integration.name}`));
    await editAll(editors, settings.edits, ({ told }) => told);
    await source.drain();
    await end('webhooks');
    source.setWebhookUrl(null);
  }
  if (Object.values(integration.entities).some(({ read }) => read.changedSince !== undefined)) {
    // A cursor goes by what was seen some time before: changes of the tick before it are read again, later ones are new.
    await wait(settings.tickMs);
    await editAll(editors, settings.edits, ({ canAskSince }) => (canAskSince ? 'changes' : 'nothing'));
    // What a replica does not show yet is not to be found yet either.
    await wait(settings.maxLagMs);
    await end('incremental run', wordsOfRuns(await world.reconcile('incremental'), 'incremental'));
  }

  if (integration.webhook !== undefined) source.setWebhookUrl(new URL(`${world.address}/webhooks/${integration.name}`));
  const locals = localEditorsOf(world, { integration, settings, random });
  if (locals.length > 0) {
    await editHere(locals, settings.edits);
    await world.settle(settings.settleMs);
    await source.drain();
    await end('edits here', [], locals);
    // What edits come to where nothing goes wrong must be right before it is worth asking what faults make of it.
    if (parts.at(-1)?.isEqual === false) return parts;
  }

  source.set({ ...QUICK_FAULTS, ...lag, ...settings.faults });
  const editing = Promise.all([
    editAll(editors, settings.edits, () => 'deletions'),
    ...locals.map((local) => repeat(settings.edits, () => local.update())),
  ]);
  await world.reconcile('full');
  await editing;
  source.set(FAULTS_OFF);
  await source.drain();
  await world.settle(settings.settleMs);
  await source.drain();
  await end('faults');

  source.set(lag);
  if (await end('full run', wordsOfRuns(await world.reconcile('full'), 'full'), locals)) {
    // Without reads by id a deletion needs two runs that do not list it; and one run may have met a replica that was behind.
    await wait(settings.maxLagMs);
    source.set(FAULTS_OFF);
    await end('second full run', wordsOfRuns(await world.reconcile('full'), 'full'), locals);
  }
  return parts;
}

const LAG_SHARE = 0.3;

/** What may be done to records: what nobody would tell of is left to the parts in which a full run follows. */
type Told = 'nothing' | 'changes' | 'deletions';
type Edited = { readonly editor: SourceEditor; readonly told: Told; readonly canAskSince: boolean };

function editorsOf(world: World, { integration, settings, random }: PartsContext): Edited[] {
  return Object.entries(integration.entities).flatMap(([name, form]) => {
    const records = world.standIn.records.get(name);
    const own = settings.entities[name];
    if (records === undefined || own === undefined) return [];
    const entity = { ...form, ...own.facts };
    const editor = createSourceEditor({
      ...{ records, entity, own, random },
      newId: world.standIn.newId,
      commit: world.standIn.source.commit,
    });
    return [{ editor, told: toldOf(integration.webhook, name), canAskSince: form.read.changedSince !== undefined }];
  });
}

function localEditorsOf(world: World, { integration, settings, random }: PartsContext): LocalEditor[] {
  return [...world.streams].flatMap(([entity, stream]) => {
    const records = world.standIn.records.get(entity);
    const own = settings.entities[entity];
    const history = world.standIn.histories.get(entity);
    const { twoWay } = stream;
    if (records === undefined || own === undefined || history === undefined || twoWay === null) return [];
    const { name } = integration;
    return [createLocalEditor({ world, integration: name, entity, stream, twoWay, records, history, own, random })];
  });
}

const MADE_HERE = 3;
const REMOVED_HERE = 2;

async function editHere(locals: readonly LocalEditor[], edits: number): Promise<void> {
  for (const local of locals) {
    await repeat(edits, () => local.update());
    await repeat(MADE_HERE, () => local.create());
    await repeat(REMOVED_HERE, () => local.remove());
  }
}

async function repeat(times: number, act: () => Promise<void>): Promise<void> {
  for (let time = 0; time < times; time++) {
    await act();
    await wait(EDIT_GAP_MS);
  }
}

/** What edits of rows should have come to, and did not. */
async function problemsOfEdits(
  world: World,
  locals: readonly LocalEditor[],
  { mayPark }: Pick<Settings, 'mayPark'>,
): Promise<string[]> {
  const waiting = await readWaiting(world);
  const problems = waiting.filter(({ state }) => !(mayPark && state === 'parked')).map(wordsOfWaiting);
  for (const { entity, problems: problemsOf } of locals) {
    problems.push(...(await problemsOf(waiting.filter((pushes) => pushes.entity === entity))));
  }
  return problems;
}

const wordsOfEdits = (world: World, locals: readonly LocalEditor[]): string[] =>
  locals.flatMap(({ entity, counts }) => {
    const { updated, created, removed, refused } = counts();
    const byRecord = Object.values(world.standIn.source.writeCounts().byRecord[entity] ?? {});
    const executed = byRecord.reduce((sum, one) => sum + one.executed, 0);
    const done = `${updated} updates, ${created} rows made and ${removed} removed here`;
    return [`${entity}: ${done} came to ${executed} writes.`, ...refused.map((words) => `${entity}: ${words}`)];
  });

function seedRecords(world: World, { entities, records, tickMs }: Settings, random: Random): void {
  const now = Date.now();
  for (const [name, ledger] of world.standIn.records) {
    for (let made = 0; made < records; made++) {
      const record = entities[name]?.makeRecord(world.standIn.newId(), random);
      const at = Math.floor((now - random.whole(tickMs, SEEDED_HISTORY_MS)) / tickMs) * tickMs;
      if (record === undefined) continue;
      world.standIn.histories.get(name)?.addState(ledger.form.idOf(record), record);
      if (ledger.form.order === 'counter') ledger.seed(record);
      else ledger.seed(record, at);
    }
  }
}

/** What webhooks tell of an entity. */
function toldOf(webhook: IntegrationDefinition['webhook'], entity: string): Told {
  const routes = Object.values(webhook?.events ?? {})
    .flat()
    .filter((route) => route.entity === entity);
  if (routes.every(({ deletes = false }) => deletes === true)) return 'nothing';
  return routes.some(({ deletes = false }) => deletes !== false) ? 'deletions' : 'changes';
}

async function editAll(editors: readonly Edited[], edits: number, mayDo: (one: Edited) => Told): Promise<void> {
  for (let edit = 0; edit < edits; edit++) {
    for (const one of editors) {
      const may = mayDo(one);
      if (may !== 'nothing') one.editor.edit({ canDelete: may === 'deletions' });
    }
    await wait(EDIT_GAP_MS);
  }
}

function report(parts: readonly ConvergencePart[], reasons: readonly string[]): ConvergenceReport {
  const last = parts.at(-1);
  const isGood = ({ name, isEqual: isFine }: ConvergencePart) => isFine || name === 'faults';
  const converged = last?.isEqual === true && parts.every(isGood);
  const lines = [
    ...parts.flatMap(({ name, words }) => [`${PART_TITLES[name]}:`, ...words.map((line) => `  ${line}`)]),
    ...(reasons.length === 0
      ? []
      : [converged ? 'Worth a look all the same:' : 'What may explain it:', ...reasons.map((line) => `  ${line}`)]),
    converged ? 'Converged: every record is its row.' : 'NOT CONVERGED.',
  ];
  return { converged, parts, reasons, lines };
}

const PART_TITLES: { readonly [name in ConvergencePart['name']]: string } = {
  'first load': 'First load by a full run',
  webhooks: 'Changes that webhooks told of, without a run',
  'edits here': 'Edits of rows, and what came of them at the source',
  'incremental run': 'Changes that no webhook told of, after an incremental run',
  faults: 'Everything going wrong at once, and before a run healed it',
  'full run': 'After a full run',
  'second full run': 'After a second full run',
};
