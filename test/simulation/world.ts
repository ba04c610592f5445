import type { Content } from '../../src/model/observation.ts';
import { createAbsenceBrake } from '../../src/sync/absence-brake.ts';
import { isSatisfied } from '../../src/sync/satisfaction.ts';
import { settleCursor } from '../../src/sync/settle-cursor.ts';
import type { Stream } from '../../src/sync/stream.ts';
import type { Actor } from './actors.ts';
import { applyBothWays } from './apply-both-ways.ts';
import { applyMirror } from './apply-mirror.ts';
import { createCommitChecker } from './check-commits.ts';
import { checkNewest } from './check-newest.ts';
import { createClock } from './clock.ts';
import { type Configuration, capsOf } from './configuration.ts';
import { createFaults, FAULT_RATES } from './faults.ts';
import { createFigures } from './figures.ts';
import { runIngest } from './ingest.ts';
import type { Commit } from './memory-store.ts';
import { createModelSource, showRecord } from './model-source.ts';
import type { Mutant } from './mutants.ts';
import { runOperator } from './operator.ts';
import { runPlan, runPush, runResolve } from './pushes.ts';
import { createRandom } from './random.ts';
import { runReread } from './reread.ts';
import { runReconcile } from './runs.ts';
import { BRACKETED, PLAIN, WITH_B, WITHOUT_B, WRITABLE } from './shape.ts';
import { lastMoment, type SourceRecord } from './source-history.ts';
import { createReads } from './source-reads.ts';
import { createWrites } from './source-writes.ts';
import type { Storage, StorageParts } from './storage.ts';
import { createStream } from './stream.ts';
import { createTables } from './tables.ts';
import { twoWayOf } from './two-way.ts';
import type { UserTable } from './user-table.ts';
import { createUsers } from './users.ts';
import type { Invariant, Violation } from './violations.ts';
import type { Rules, WorkerDeps } from './worker.ts';

export type WorldOptions = {
  readonly configuration: Configuration;
  readonly seed: number;
  readonly mutant: Mutant | null;
  /** Disturbances to leave out, by their number; a replay names those that a failure does not need. */
  readonly leaves: (disturbance: number) => boolean;
  readonly trace: ((line: string) => void) | null;
  readonly createStorage: (parts: StorageParts) => Storage;
  /** Made of canonical content; a database takes hexadecimal digits only. */
  readonly hashOf: (content: Content) => string;
};

const SOUND: Rules = {
  isSatisfied,
  settleCursor,
  pageLo: 'request',
  dedupesBy: 'event',
  sweep: 'reads',
  savesCheckpointFirst: false,
  see: (seen) => seen,
  checksDeadline: true,
  send: (write) => write,
  answer: (_write, record) => record,
};

export type World = ReturnType<typeof createWorld>;

/** A source, a server of several replicas and people at both ends: everything but who goes when. */
export function createWorld({ configuration, seed, mutant, leaves, trace, createStorage, hashOf }: WorldOptions) {
  const chance = createRandom(seed);
  const randomFor = () => createRandom(Math.floor(chance.next() * 4_294_967_296));
  const clock = createClock();
  const figures = createFigures();
  const tables = createTables();
  const violations: Violation[] = [];
  const state = { step: 0, disturbances: 0, checksOrder: !configuration.isWeak, hides: false };

  /** Edits, faults and the like have numbers, so that a replay can do without some of them. */
  const mayDisturb = (): boolean => !leaves(state.disturbances++);
  const report = (invariant: Invariant, detail: string): void => {
    trace?.(`VIOLATION ${invariant} ${detail}`);
    violations.push({ invariant, detail, step: state.step });
  };

  const faults = createFaults(randomFor(), (kind) => configuration.rates[kind] ?? FAULT_RATES[kind], mayDisturb);
  const source = createModelSource({ shape: configuration.shape, clock, random: randomFor(), faults, trace });
  const reads = createReads({ source, clock, random: randomFor(), faults, isHidden: () => state.hides });
  const writes = createWrites({ source, clock, random: randomFor(), faults, trace });
  const heldKeys = new Set<string>();
  const table = createUserTable(configuration, heldKeys, (before, after) => users.noteTrigger(before, after));
  const users = createUsers({
    configuration,
    random: randomFor(),
    clock,
    source,
    tables,
    edit: (key, content) => storage.edit(key, content, !faults.strikes('edit_uncaptured')),
    table,
    writable: () => WRITABLE.filter((name) => mapping.properties.includes(name)),
    trace,
    shownOf: (id) => checker.shownOf(id),
  });
  const checker = createCommitChecker({ source, tables, checksOrder: () => state.checksOrder, report });

  let mapping = configuration.mapping === 'maps_more' ? WITHOUT_B : PLAIN;
  let stream = makeStream(configuration.deletions);
  function makeStream(deletions: Stream['deletions']): Stream {
    const twoWay = twoWayOf(configuration, mapping);
    return createStream({
      caps: capsOf(configuration),
      twoWay: twoWay === null ? null : { ...twoWay, ...mutant?.twoWay },
      mapping,
      deletions,
      hashOf,
    });
  }

  function onCommit(commit: Commit): void {
    if (commit.states.size > 0 || commit.written.size > 0 || commit.told.length > 0) trace?.(describeCommit(commit));
    figures.count('rows written', commit.written.size);
    checker.check(commit);
    for (const conflict of commit.met)
      checkNewest(conflict, { edits: users.edits, refOf, skewMs: stream.twoWay?.clockSkewMs ?? 0 }, report);
    for (const conflict of commit.decided) users.noteDecision(conflict);
  }
  const refOf = (key: string): string | null => {
    const { ref = null } = tables.rows.get(key) ?? {};
    return ref === null ? null : String(ref);
  };
  let lastId = 0;
  /** Of the form of a UUID, which is what the database takes. */
  const newId = () => `00000000-0000-7000-8000-${String(++lastId).padStart(12, '0')}`;
  const storage = createStorage({
    tables,
    clock,
    table,
    canGet: configuration.canGet,
    stream: () => stream,
    newId,
    onCommit,
    wrapTx: (tx) => mutant?.wrapTx?.(tx) ?? tx,
  });

  const absenceBrakes = new Map<number, WorkerDeps['absenceBrake']>();
  const workerRandom = randomFor();
  function depsFor(actor: Actor): WorkerDeps {
    const absenceBrake = absenceBrakes.get(actor.replica) ?? createAbsenceBrake(() => clock.at() / 1000);
    absenceBrakes.set(actor.replica, absenceBrake);
    return {
      actor,
      store: storage.storeFor(actor),
      tables,
      clock,
      reads,
      writes,
      stream: () => stream,
      apply: configuration.twoWay === null ? applyMirror : applyBothWays,
      newId,
      pushesAtOnce: storage.pushesAtOnce,
      rules: { ...SOUND, ...mutant?.rules },
      random: workerRandom,
      absenceBrake,
      figures,
    };
  }

  return {
    configuration,
    clock,
    faults,
    figures,
    tables,
    table,
    heldKeys,
    source,
    reads,
    writes,
    users,
    violations,
    report,
    checker,
    state,
    trace,
    mutant,
    mayDisturb,
    randomFor,
    workers: {
      ...(configuration.twoWay === null
        ? {}
        : {
            plan: (actor: Actor) => runPlan(depsFor(actor)),
            push: (actor: Actor) => runPush(depsFor(actor)),
            resolve: (actor: Actor) => runResolve(depsFor(actor)),
            ...(configuration.twoWay.hasOperator ? { operate: (actor: Actor) => runOperator(depsFor(actor)) } : {}),
          }),
      ingest: (actor: Actor) => runIngest(depsFor(actor)),
      reread: (actor: Actor) => runReread(depsFor(actor)),
      reconcile: (actor: Actor) => runReconcile(depsFor(actor)),
    },
    /** A row that shows the record as it is. */
    contentOf(record: SourceRecord): Content {
      const mapped = stream.mapper.map(showRecord(record, lastMoment(record)));
      if (mapped.kind !== 'mapped') throw new Error('A simulated record always maps');
      return mapped.content;
    },
    /** All replicas start anew with another mapping: what was read under the old one is owed again. */
    changeMapping(): void {
      mapping = configuration.mapping === 'maps_more' ? WITH_B : BRACKETED;
      stream = makeStream(configuration.deletions);
      tables.progress.set({ ...tables.progress.get(), cursor: null, marks: [], needsFullAt: clock.read() });
    },
    /** An operator says that whatever is to be deleted may be. */
    approveDeletions(): void {
      stream = makeStream({ maxShare: 1, minimum: 1_000 });
    },
    storage,
    hashOf,
  };
}

function createUserTable(
  { twoWay }: Configuration,
  heldKeys: ReadonlySet<string>,
  onTrigger: (before: Content, after: Content) => void,
): UserTable {
  const editOnceMore = (content: Content): Content => {
    const edited = { ...content, n: typeof content.n === 'number' ? content.n + 1 : 1 };
    onTrigger(content, edited);
    return edited;
  };
  const store = (content: Content): Content =>
    typeof content.a === 'string' ? { ...content, a: content.a.toLowerCase() } : content;
  return {
    store: twoWay?.tableNormalises ? store : (content) => content,
    afterOurWrite: twoWay?.tableEdits ? editOnceMore : null,
    keepsOut: (content) => twoWay?.tableKeepsOut === true && content.a === 'Q',
    isHeld: (targetKey) => heldKeys.has(targetKey),
  };
}

function describeCommit({ states, written, told }: Commit): string {
  const changed = [...states].map(
    ([id, { after }]) => `${id} ${after.status} v${after.version} #${after.appliedSeq} ${JSON.stringify(after.base)}`,
  );
  const words = told.map(({ externalId, decision, reason }) => `${externalId} ${decision} ${reason ?? ''}`);
  return `  commit: ${[...words, ...changed, written.size > 0 ? `rows ${[...written].join(' ')}` : ''].join('; ')}`;
}
