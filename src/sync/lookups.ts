import type { Log } from '../lib/log.ts';
import { readPath } from '../lib/path.ts';
import { type LookupForm, type LookupReader, type LookupResult, pathsOf } from '../mapping/lookup.ts';
import type { SourceClient } from '../source/client.ts';
import type { ListDefinition } from '../source/definition.ts';
import type { Params } from '../source/requests.ts';
import { describeFailure, LookupTooLongError, LookupUnavailableError } from './failures.ts';
import type { Observed } from './observe.ts';

/** Entries of one list. */
const MAX_ENTRIES = 100_000;
/** Between the starts of two loads of one list, whether the first succeeded or not. */
const MIN_LOAD_INTERVAL_MS = 10_000;
/** How long anybody waits for one list. */
const MAX_WAIT_MS = 10_000;
/** How long ids that are not in the table are believed to be missing after loads that found none of those asked for; it doubles up to here. */
const MAX_TRUST_MS = 300_000;
/** A load that nobody waits for any more goes on for so long: a list in many pages takes its time. */
const LOAD_DEADLINE_MS = 120_000;
/** Ids that a list does not have, remembered at most: further ones are asked for each time. */
const MAX_MISSED = 10_000;
/** A delivery whose id is being looked up is worked on again after this. */
const LOOK_AGAIN_MS = 250;
/** The same while the integration is paused. */
const PAUSED_WAIT_MS = 60_000;

/** A list that ids are looked up in. */
export type LookupSource = {
  readonly name: string;
  readonly list: ListDefinition;
  /** Added to the list's own: what the endpoint's `params` give where a call names none. */
  readonly params?: Params;
  /** A table older than this is read anew, and used until that is done. */
  readonly ttlMs: number;
  /** What is taken of each entry. */
  readonly forms: readonly LookupForm[];
};

/** `news`: whatever was not loaded just now. `ids`: tables that did not have an id that was asked for. */
export type Wants = 'tables' | 'news' | 'ids';

/** The tables of one entity's mapping. */
export type Lookups = {
  /** For the mapper. What it does not find it remembers, so that the next load settles it. */
  readonly read: LookupReader;
  /**
   * Loads what is missing or past its time, and beyond it what `wants` says. Waits 10 s at most for its turn, and 10 s for
   * the answer. Where a list cannot be read the table that there is stays in use; throws `LookupUnavailableError` when
   * there is none, and the signal's reason.
   */
  ensure(signal: AbortSignal, wants?: Wants): Promise<void>;
  /**
   * Starts in the background what `ensure` would load, unless the integration is paused: deliveries are worked on all the
   * same then. @returns when to map again what could not be mapped now.
   */
  request(): { readonly waitMs: number; readonly isFailing: boolean };
  /** Changes with what the tables are made of. */
  readonly fingerprint: string;
};

export type LookupDeps = {
  readonly client: Pick<SourceClient, 'listPages'>;
  readonly integration: string;
  readonly isPaused: (integration: string) => Promise<boolean>;
  readonly nowMs: () => number;
  /** Waits `ms`, or less when the signal fires; whether it then rejects or resolves does not matter. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly log: Log;
};

/** Tables of one integration by list; entities whose mappings read the same list share them. Nothing is loaded yet. */
export function createLookups(deps: LookupDeps, sources: readonly LookupSource[]) {
  const tables = new Map(sources.map((source) => [source.name, createTable(deps, source)]));
  /** The tables that one mapping reads. */
  return (names: ReadonlySet<string>): Lookups => {
    const own = [...names].flatMap((name) => tables.get(name) ?? []);
    return {
      read: (form, id) => tables.get(form.from)?.read(form, id) ?? { kind: 'unsettled' },
      async ensure(signal, wants = 'tables') {
        await Promise.all(own.map((table) => table.ensure(signal, wants)));
      },
      request() {
        const states = own.map((table) => table.request());
        return {
          waitMs: Math.max(LOOK_AGAIN_MS, ...states.map(({ waitMs }) => waitMs)),
          isFailing: states.some(({ isFailing }) => isFailing),
        };
      },
      fingerprint: JSON.stringify(
        sources.filter(({ name }) => names.has(name)).map(({ name, list, params }) => [name, list, params]),
      ),
    };
  };
}

type Column = { readonly form: LookupForm; readonly values: ReadonlyMap<string, unknown> };
type Loaded = { readonly columns: readonly Column[]; readonly atMs: number };

function createTable({ client, integration, isPaused, nowMs, sleep, log }: LookupDeps, source: LookupSource) {
  const { name, ttlMs } = source;
  let loaded: Loaded | null = null;
  let lastStartMs = Number.NEGATIVE_INFINITY;
  let failure: unknown = null;
  let underWay: Promise<void> | null = null;
  let asking: Promise<void> | null = null;
  /** As the database said when a load in the background was last due. */
  let isHeld = false;
  /** Asked for and not found; no load has begun since. By `keyOf`. */
  let unsettled = new Set<string>();
  /** Not in the list, as a load showed that began after they were first asked for. */
  let missing: ReadonlySet<string> = new Set();
  /** An id that is not in a table younger than this counts as missing at once. */
  let trustMs = 0;

  const ageMs = (): number => (loaded === null ? Number.POSITIVE_INFINITY : Math.max(0, nowMs() - loaded.atMs));
  const isWanted = (): boolean => ageMs() >= ttlMs || unsettled.size > 0;
  const untilNextMs = (): number =>
    Math.min(MIN_LOAD_INTERVAL_MS, Math.max(0, lastStartMs + MIN_LOAD_INTERVAL_MS - nowMs()));

  function load(): Promise<void> {
    if (underWay !== null) return underWay;
    const asked = unsettled;
    const startMs = nowMs();
    lastStartMs = startMs;
    unsettled = new Set(asked); // apart, since what is asked for from here on may be younger than what the load shows
    underWay = readColumns(client, source)
      .then((columns) => settle(columns, asked, startMs))
      .catch((error: unknown) => {
        failure = error;
        const ageS = loaded === null ? null : Math.round(ageMs() / 1000);
        const words =
          loaded === null
            ? 'a list for lookups cannot be read'
            : 'a list for lookups cannot be read; the old one is used';
        log.warn({ integration, lookup: name, ...describeFailure(error), ageS }, words);
      })
      .finally(() => {
        underWay = null;
      });
    return underWay;
  }

  /** Where nobody can say whether it is paused, whoever comes next asks again. */
  function loadUnlessPaused(): void {
    asking ??= isPaused(integration)
      .then((answer) => {
        isHeld = answer;
        if (!isHeld) void load();
      })
      .catch(() => {})
      .finally(() => {
        asking = null;
      });
  }

  function settle(columns: readonly Column[], asked: ReadonlySet<string>, startMs: number): void {
    const found = new Set(
      columns.flatMap(({ form, values }) => [...unsettled, ...missing].filter((key) => isIn(form, values, key))),
    );
    const absent = [...missing, ...asked].filter((key) => !found.has(key));
    missing = new Set(absent.slice(-MAX_MISSED));
    unsettled = new Set([...unsettled].filter((key) => !asked.has(key) && !found.has(key)));
    loaded = { columns, atMs: startMs };
    failure = null;
    if (asked.size === 0) return;
    const isFruitless = [...asked].every((key) => !found.has(key));
    trustMs = isFruitless ? Math.min(MAX_TRUST_MS, Math.max(MIN_LOAD_INTERVAL_MS, 2 * trustMs)) : 0;
  }

  function read(form: LookupForm, id: string): LookupResult {
    const column = loaded?.columns.find((one) => one.form.by === form.by && one.form.take === form.take);
    if (column === undefined) return { kind: 'unsettled' };
    if (column.values.has(id)) return { kind: 'found', value: column.values.get(id) };
    const key = keyOf(form, id);
    if (missing.has(key) || ageMs() < trustMs) return { kind: 'missing' };
    if (unsettled.size < MAX_MISSED) unsettled.add(key);
    return { kind: 'unsettled' };
  }

  return {
    read,
    async ensure(signal: AbortSignal, wants: Wants): Promise<void> {
      const isDue = () =>
        ageMs() >= (wants === 'news' ? MIN_LOAD_INTERVAL_MS : ttlMs) || (wants === 'ids' && unsettled.size > 0);
      if (!isDue()) return;
      if (underWay !== null) await withinWait(underWay, signal);
      const waitMs = untilNextMs();
      // A load that failed a moment ago is not repeated at once; one that succeeded may be too old for an id.
      if (isDue() && underWay === null && (failure === null || waitMs === 0)) {
        if (waitMs > 0 && wants === 'ids') await sleep(waitMs, signal).catch(() => {});
        if (underWay !== null || untilNextMs() === 0) await withinWait(load(), signal);
      }
      signal.throwIfAborted();
      if (loaded === null) throw new LookupUnavailableError(`the list of ${name} cannot be read`, failure);
    },
    request() {
      const waitMs = untilNextMs();
      if (isWanted() && waitMs === 0) loadUnlessPaused();
      if (isHeld) return { waitMs: PAUSED_WAIT_MS, isFailing: false };
      if (underWay !== null || asking !== null) return { waitMs: LOOK_AGAIN_MS, isFailing: false };
      return { waitMs, isFailing: failure !== null };
    },
  };
}

async function readColumns(
  client: LookupDeps['client'],
  { list, params = {}, forms }: LookupSource,
): Promise<readonly Column[]> {
  const columns = forms.map((form) => ({ form, paths: pathsOf(form), values: new Map<string, unknown>() }));
  const signal = AbortSignal.timeout(LOAD_DEADLINE_MS);
  let entries = 0;
  for await (const { items } of client.listPages(list, { params, lane: 'urgent', signal })) {
    entries += items.length;
    if (entries > MAX_ENTRIES) throw new LookupTooLongError(MAX_ENTRIES);
    for (const item of items) {
      for (const { paths, values } of columns) {
        const id = readPath(item, paths.by);
        if (!id.found || (typeof id.value !== 'string' && typeof id.value !== 'number')) continue;
        const value = readPath(item, paths.take);
        values.set(String(id.value), value.found ? value.value : null);
      }
    }
  }
  return columns;
}

const keyOf = ({ by }: LookupForm, id: string): string => `${by}\n${id}`;
const isIn = ({ by }: LookupForm, values: ReadonlyMap<string, unknown>, key: string): boolean =>
  key.startsWith(`${by}\n`) && values.has(key.slice(by.length + 1));

/** Resolves when the work ends, after 10 s, or on abort: what is waited for tells by its state how it ended. */
async function withinWait(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(MAX_WAIT_MS)]);
  if (within.aborted) return;
  let stop = () => {};
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
    within.addEventListener('abort', stop, { once: true });
  });
  await Promise.race([work, aborted]);
  within.removeEventListener('abort', stop);
}

/**
 * Does work that maps records, with the tables there. Where it throws `LookupUnavailableError` because of an id that they
 * do not settle it is done once more, after they were read anew: so it must leave nothing behind when it throws.
 */
export async function withLookups<T>(lookups: Lookups | null, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  if (lookups === null) return await work();
  await lookups.ensure(signal);
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof LookupUnavailableError)) throw error;
  }
  await lookups.ensure(signal, 'ids');
  return await work();
}

/** Throws `LookupUnavailableError` where the mapping of some record has to wait for a table. */
export function assertLookedUp(observed: readonly Observed[]): void {
  if (observed.some(isUnsettled)) throw new LookupUnavailableError('ids of records could not be looked up', null);
}

/** The record does not map only because an id of it cannot be looked up yet. */
export const isUnsettled = (observed: Observed): boolean =>
  observed.kind === 'invalid' && observed.problem.code === 'lookup_unavailable';
