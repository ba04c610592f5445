import { addMs, type Instant } from '../../src/model/instant.ts';
import type { Content } from '../../src/model/observation.ts';
import { audit } from './audit.ts';
import { checkEnd } from './check-end.ts';
import type { Configuration } from './configuration.ts';
import { corrupt } from './damage.ts';
import { deliverHook } from './deliver.ts';
import { nextInboxAt } from './ingest.ts';
import { nextHintAt } from './memory-hints.ts';
import { isBarred } from './memory-outbox.ts';
import type { Mutant } from './mutants.ts';
import { createReplicas, type Replicas } from './replicas.ts';
import { nextRunAt } from './runs.ts';
import { hashOf } from './shape.ts';
import { createMemoryStorage, type Storage, type StorageParts } from './storage.ts';
import type { Violation } from './violations.ts';
import { createWorld, type World } from './world.ts';

export type RunOptions = {
  readonly configuration: Configuration;
  readonly seed: number;
  readonly mutant?: Mutant | null;
  /** Steps of the phase with faults; default: by the seed. */
  readonly steps?: number | null;
  readonly leaves?: (disturbance: number) => boolean;
  readonly trace?: ((line: string) => void) | null;
  /** Default: in memory. */
  readonly createStorage?: (parts: StorageParts) => Storage;
  readonly hashOf?: (content: Content) => string;
};

export type RunResult = {
  readonly violations: readonly Violation[];
  readonly steps: number;
  /** Steps of the phase with faults. */
  readonly faultySteps: number;
  readonly disturbances: number;
  readonly figures: ReadonlyMap<string, number>;
};

const MIN_STEPS = 300;
const MORE_STEPS = 900;
/** Far more than any run has needed: a queue that still is not empty will never be. */
const MAX_DRAIN_STEPS = 20_000;
/** Nothing else waits for so long. */
const BRAKED_MS = 9 * 60_000;
const LONG_WAIT_MS = 130_000;

/** One run: a phase with faults, then none any more, and the end that the configuration names. */
export async function runOne(options: RunOptions): Promise<RunResult> {
  const { configuration, seed } = options;
  const world = createWorld({
    configuration,
    seed,
    mutant: options.mutant ?? null,
    leaves: options.leaves ?? (() => false),
    trace: options.trace ?? null,
    createStorage: options.createStorage ?? createMemoryStorage,
    hashOf: options.hashOf ?? hashOf,
  });
  const random = world.randomFor();
  const replicas = createReplicas(world, random, 2 + random.below(2));
  const drawn = MIN_STEPS + random.below(MORE_STEPS);
  const faultySteps = options.steps ?? drawn;
  const { state } = world;
  try {
    for (; state.step < faultySteps && world.violations.length === 0; state.step++) {
      if (configuration.mapping === 'maps_more' && state.step === Math.floor(faultySteps / 2)) {
        world.changeMapping();
        replicas.restart();
      }
      await disturb(world, replicas, random);
    }
    if (world.violations.length === 0) await finish(world, replicas, random);
  } catch (error) {
    world.report('failure', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  world.figures.count('local edits', world.users.edits.length);
  world.figures.count('writes carried out', world.writes.executed.length);
  world.figures.count('writes acknowledged', world.writes.acknowledged.size);
  world.figures.count('writes of unknown outcome', world.writes.unknownOutcomes());
  for (const { kind, outcome } of world.tables.conflicts.rows.values())
    world.figures.count(`conflict ${kind}, ${outcome ?? 'open'}`);
  for (const { state, parkReason } of world.tables.pushes.rows.values())
    if (state === 'parked') world.figures.count(`parked ${parkReason}`);
  for (const [kind, count] of world.faults.counts) world.figures.count(`fault ${kind}`, count);
  return {
    violations: world.violations,
    steps: state.step,
    faultySteps,
    disturbances: state.disturbances,
    figures: world.figures.counts,
  };
}

/** One step of the phase with faults. */
async function disturb(world: World, replicas: Replicas, random: World['randomFor'] extends () => infer R ? R : never) {
  const { clock, configuration, source, tables, users, writes, faults, heldKeys, trace } = world;
  clock.advance(random.next() * 20);
  if (faults.strikes('long_wait')) clock.advance(random.next() * LONG_WAIT_MS);
  source.tick();
  const what = random.next();
  if (what < 0.8) {
    if (!(await replicas.stepAnyone())) clock.advance(random.next() * 400);
  } else if (what < 0.86) {
    if (world.mayDisturb()) users.editSource();
  } else if (what < 0.9) {
    if (configuration.twoWay !== null && world.mayDisturb()) users.editTarget();
  } else if (what < 0.97) deliverHook(world, random);
  else if (what < 0.975) {
    if (writes.hasLate()) writes.executeLate();
  } else if (what < 0.988) askForRun(world, random);
  else if (what < 0.993) {
    heldKeys.clear();
    const keys = [...tables.rows.rows.keys()];
    if (keys.length > 0 && faults.strikes('row_held')) heldKeys.add(random.pick(keys));
  } else {
    world.storage.resume();
    if (configuration.hidesRecords && random.chance(0.2) && world.mayDisturb()) world.state.hides = !world.state.hides;
  }
  if (faults.strikes('audit')) audit(world, random, 0.5);
  await world.storage.flush();
  trace?.(`${world.state.step} at ${clock.at()}`);
}

function askForRun({ configuration, tables }: World, random: { chance: (probability: number) => boolean }): void {
  const isFull = configuration.ending === 'full' && (configuration.shape.versionKind === 'none' || random.chance(0.3));
  const canBeIncremental = configuration.shape.versionKind !== 'none';
  if (configuration.ending === 'hooks') return;
  if (isFull || canBeIncremental) tables.wish.set(isFull ? 'full' : 'incremental');
}

/** No fault comes any more; the queues drain; the end; and what must hold then. */
async function finish(world: World, replicas: Replicas, random: ReturnType<World['randomFor']>): Promise<void> {
  const { configuration, faults, heldKeys, tables, state, checker, clock } = world;
  if (configuration.mapping === 'shows_otherwise') world.changeMapping();
  faults.heal();
  heldKeys.clear();
  state.hides = false;
  if (configuration.hidesRecords) world.approveDeletions();
  replicas.heal();
  world.storage.resume();
  await drain(world, replicas, random);
  if ((configuration.rates.audit ?? 0) > 0) audit(world, random, 1);
  world.users.populate();
  await drain(world, replicas, random);
  if (configuration.isDamaged) {
    state.checksOrder = false;
    corrupt(world, random);
  }
  for (const mode of endOf(configuration)) {
    // What was seen until just now may exist for all that a lagging list shows.
    clock.advance(configuration.shape.lagMs + 1);
    tables.wish.set(mode);
    await drain(world, replicas, random);
  }
  if (world.violations.length > 0) return;
  checkEnd(world, world.report);
  checker.startAnew();
  await checkRest(world, replicas, random);
}

function endOf({ ending, canGet, isDamaged }: Configuration): readonly ('incremental' | 'full')[] {
  if (ending === 'hooks') return [];
  if (ending === 'incremental') return ['incremental'];
  return canGet && !isDamaged ? ['full'] : ['full', 'full', 'full'];
}

/** With nothing to do, runs write nothing. */
async function checkRest(world: World, replicas: Replicas, random: ReturnType<World['randomFor']>): Promise<void> {
  const { figures, tables, configuration, writes } = world;
  if (world.violations.length > 0 || configuration.ending === 'hooks') return;
  const before = figures.counts.get('rows written') ?? 0;
  const sent = writes.executed.length;
  tables.wish.set(configuration.ending);
  await drain(world, replicas, random);
  const after = figures.counts.get('rows written') ?? 0;
  if (after > before) world.report('I18', `${after - before} rows written although nothing had changed`);
  if (writes.executed.length > sent) world.report('I7', 'the source was written to although nothing had changed');
}

/** Goes on until nobody has anything to do, now or later. */
async function drain(world: World, replicas: Replicas, random: ReturnType<World['randomFor']>): Promise<void> {
  const { clock, source, state, writes } = world;
  for (let step = 0; step < MAX_DRAIN_STEPS && world.violations.length === 0; step++) {
    state.step++;
    await world.storage.flush();
    clock.advance(random.next() * 10);
    source.tick();
    if (source.hooks.length > 0) {
      deliverHook(world, random);
      continue;
    }
    if (await replicas.stepSomeone()) continue;
    if (writes.hasLate()) {
      writes.executeLate();
      continue;
    }
    // Somebody was turned away before the faults were over, and has only now said so.
    if (world.tables.progress.get().pausedForAuth) world.storage.resume();
    const next = nextAt(world);
    if (next === Number.POSITIVE_INFINITY) return;
    // An absence that is not believed is looked at again every ten minutes, until enough other reads have found something.
    if (world.configuration.hidesRecords && next > addMs(clock.at(), BRAKED_MS)) return;
    clock.advanceTo(Math.max(next, addMs(clock.at(), 1)));
  }
  if (world.violations.length === 0) world.report('I12', `the queues do not drain: ${describeQueues(world)}`);
}

function nextAt({ tables, source }: World): Instant {
  let next = Math.min(nextInboxAt(tables), nextHintAt(tables), nextRunAt(tables), source.nextAt());
  const { blockedUntil } = tables.progress.get();
  for (const row of tables.pushes.rows.values()) {
    // What stands behind a parked push or an open conflict waits for a person as well.
    if (row.state === 'parked' || (row.state === 'ready' && isBarred(tables, row))) continue;
    next = Math.min(next, Math.max(row.leaseExpiresAt ?? row.runAt, blockedUntil ?? 0));
  }
  return next;
}

function describeQueues({ tables }: World): string {
  const pushes = tables.pushes.values().map(({ state, op, errorCode }) => `${op} ${state} ${errorCode}`);
  return `${tables.inbox.rows.size} deliveries, ${tables.hints.rows.size} hints, ${tables.changes.rows.size} captured edits, pushes: ${pushes.join(', ')}`;
}
