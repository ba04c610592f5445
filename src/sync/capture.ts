import { isDeepStrictEqual } from 'node:util';
import type { Database, Db } from '../db/connect.ts';
import { failureKind, sqlState } from '../db/failure.ts';
import type { Log } from '../lib/log.ts';
import type { TargetTable } from '../model/target.ts';
import {
  type CaptureInstall,
  type CaptureTarget,
  type FoundCapture,
  findCaptureProblems,
  findCaptureSteps,
  findLockHolders,
  installCapture,
  removeCapture,
  silenceCapture,
} from '../store/capture.ts';
import { type CapturedTable, keepIdentity, readCapturedTables } from '../store/captured-tables.ts';
import { type CaptureWish, takeUpTable } from './take-up-table.ts';

/** Writers that come while we wait for a lock wait behind us, so each wait is short. */
const LOCK_TIMEOUT_MS = 300;
const LOCK_PAUSE_MS = 1_000;
/** Some 40 s for each table. Then a person has to see who holds it. */
const MAX_INSTALL_ATTEMPTS = 30;
/** A capture whose removal finds no moment does nothing from then on, and is removed at a later start. */
const MAX_REMOVE_ATTEMPTS = 5;

export type CaptureDeps = {
  readonly database: Pick<Database, 'db' | 'exclusively'>;
  readonly log: Log;
  readonly sleep: (ms: number) => Promise<void>;
};

/** In words that follow "the table …". */
export type CaptureProblem = { readonly capture: CaptureTarget; readonly problem: string };

/**
 * Brings the triggers that capture edits in line with the two-way streams: installed where they are missing, renewed where the
 * table or the mapping has changed, removed everywhere else. Nothing is locked where all is as it should be. Safe to repeat,
 * and in several processes. Tables that do not exist are passed over. @returns what a person must put right first.
 */
export async function alignCaptures(deps: CaptureDeps, wanted: readonly CaptureWish[]): Promise<CaptureProblem[]> {
  const { db } = deps.database;
  const seen = await findSteps(db, wanted);
  const problems = await findProblems(
    db,
    wanted,
    seen.steps.flatMap(({ install }) => install ?? []),
  );
  if (problems.length > 0 || seen.steps.length + seen.remove.length === 0) return problems;
  return await deps.database.exclusively('migrate', async (session) => {
    // Again, now that no other process is at it.
    const { steps, remove } = await findSteps(session, wanted);
    for (const step of steps) problems.push(...(await carryOut(session, deps, step, MAX_INSTALL_ATTEMPTS)));
    for (const found of remove) await removeOne(session, deps, found);
    return problems;
  });
}

/**
 * Puts captures back that were lost while the server runs: their table was made anew, or their triggers were removed or
 * switched off. Writers are kept waiting for one short moment at most, and the next call tries again. What another
 * configuration has set up, a newer replica's, is left to that one. @returns what kept a capture from being put back.
 */
export async function restoreCaptures(
  { database, log }: Omit<CaptureDeps, 'sleep'>,
  wanted: readonly CaptureWish[],
): Promise<CaptureProblem[]> {
  const deps: CaptureDeps = { database, log, sleep: neverWaits };
  const findLost = async (db: Db, among: readonly CaptureWish[]): Promise<Step[]> =>
    (await findSteps(db, among)).steps.filter(({ install }) => install === null || install.isOurs);
  const lost = await findLost(database.db, wanted);
  const captures = lost.map(({ table }) => table.capture);
  const installs = lost.flatMap(({ install }) => install ?? []);
  const problems = await findProblems(database.db, captures, installs);
  // What is wrong with one table keeps no other from being captured.
  const sound = captures.filter((one) => problems.every(({ capture }) => capture !== one));
  if (sound.length === 0) return problems;
  return await database.exclusively('migrate', async (session) => {
    for (const step of await findLost(session, sound)) problems.push(...(await carryOut(session, deps, step, 1)));
    return problems;
  });
}

/** One attempt is the last. */
const neverWaits = () => Promise.resolve();

/** What is to be done about one stream's table. `install`: null where its triggers stand. */
type Step = { readonly table: CapturedTable<CaptureWish>; readonly install: CaptureInstall | null };

async function findSteps(
  db: Db,
  wanted: readonly CaptureWish[],
): Promise<{ readonly steps: readonly Step[]; readonly remove: readonly FoundCapture[] }> {
  const { install, remove } = await findCaptureSteps(db, wanted);
  const steps = (await readCapturedTables(db, wanted)).map((table) => ({
    table,
    install: install.find(({ capture }) => capture === table.capture) ?? null,
  }));
  const isDue = ({ table: { kept, now }, install: lost }: Step): boolean =>
    now !== null && (lost !== null || !isDeepStrictEqual(kept, now));
  return { steps: steps.filter(isDue), remove };
}

async function carryOut(session: Db, deps: CaptureDeps, step: Step, maxAttempts: number): Promise<CaptureProblem[]> {
  const { table, install } = step;
  const problems = install === null ? [] : await installOne(session, deps, { table, install }, maxAttempts);
  if (problems.length === 0) await takeUpTable(session, deps.log, table);
  return problems;
}

async function findProblems(
  db: Db,
  wanted: readonly CaptureTarget[],
  install: readonly CaptureInstall[],
): Promise<CaptureProblem[]> {
  const problems: CaptureProblem[] = [];
  for (const capture of wanted) {
    const needsTriggers = install.some((step) => step.capture === capture);
    const found = await findCaptureProblems(db, capture.target, { needsTriggers });
    problems.push(...found.map((problem) => ({ capture, problem })));
  }
  return problems;
}

async function installOne(
  session: Db,
  deps: CaptureDeps,
  { table: { capture, kept, now }, install }: Step & { readonly install: CaptureInstall },
  maxAttempts: number,
): Promise<CaptureProblem[]> {
  const identity = kept ?? now;
  const work = () =>
    session.transaction(async (tx) => {
      await installCapture(tx, install, LOCK_TIMEOUT_MS);
      // As it was: what has changed since is still to be taken up.
      if (identity !== null) await keepIdentity(tx, capture, identity);
    });
  try {
    const isDone = await withinLocks(deps, maxAttempts, work);
    if (!isDone) return [{ capture, problem: await describeHolders(session, capture.target) }];
  } catch (error) {
    if (failureKind(error) !== 'schema') throw error;
    const problem = `cannot be given triggers by the database user (SQLSTATE ${sqlState(error)}): let the user that owns the schema sync, with the right TRIGGER on the table, run \`syncline migrate\``;
    return [{ capture, problem }];
  }
  deps.log.info({ ...capture.key, table: nameOf(capture.target) }, 'edits of the table are captured');
  return [];
}

async function removeOne(session: Db, deps: CaptureDeps, found: FoundCapture): Promise<void> {
  const { functionName, stream } = found;
  const fields = { ...stream, function: functionName };
  const work = () => session.transaction((tx) => removeCapture(tx, found, LOCK_TIMEOUT_MS));
  if (await withinLocks(deps, MAX_REMOVE_ATTEMPTS, work)) {
    deps.log.info(fields, 'edits are no longer captured: the stream is not two-way');
    return;
  }
  await session.transaction((tx) => silenceCapture(tx, found));
  deps.log.warn(fields, 'edits are no longer captured; the triggers stay until a start finds their table free');
}

/** Tries again while a lock cannot be had. @returns false when it never could. */
async function withinLocks(deps: CaptureDeps, maxAttempts: number, work: () => Promise<void>): Promise<boolean> {
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    try {
      await work();
      return true;
    } catch (error) {
      if (failureKind(error) !== 'lock_timeout') throw error;
      if (attempt < maxAttempts) await deps.sleep(LOCK_PAUSE_MS);
    }
  }
  return false;
}

async function describeHolders(db: Db, table: TargetTable): Promise<string> {
  const holders = await findLockHolders(db, table);
  const told = holders.map(({ pid, since }) => `process ${pid}${since === null ? '' : ` since ${since}`}`);
  const by = told.length === 0 ? '' : ` by ${told.join(', ')}`;
  return `is held${by}, so that the triggers which capture edits cannot be created: let that transaction end, or end it with pg_terminate_backend`;
}

const nameOf = ({ schema, name }: TargetTable): string => `${schema}.${name}`;
