import type { Instant } from '../../src/model/instant.ts';
import type { Content } from '../../src/model/observation.ts';
import type { RecordState } from '../../src/model/record-state.ts';
import type { Commit } from './memory-store.ts';
import type { ModelSource } from './model-source.ts';
import type { Moment } from './source-history.ts';
import type { Tables } from './tables.ts';
import type { Invariant } from './violations.ts';

type Report = (invariant: Invariant, detail: string) => void;

/**
 * What must hold after every single transaction. The order of a record's effective changes is compared with its history at
 * the source: each must show a moment that is not before the one that the change before it showed.
 */
export function createCommitChecker(deps: {
  readonly source: ModelSource;
  readonly tables: Tables;
  /** Steps back are possible where nothing orders the changes, or after somebody damaged the states. */
  readonly checksOrder: () => boolean;
  readonly report: Report;
}) {
  const { source, tables, report } = deps;
  const shown = new Map<string, number>();
  let heldSince = Number.POSITIVE_INFINITY;
  /** States as their latest effective change left them. */
  const applied = new Map<string, RecordState>();

  function placeOf(id: string, from: number, fits: (moment: Moment) => boolean): number | null {
    const moments = source.records.get(id)?.moments ?? [];
    for (let place = from; place < moments.length; place++) {
      const moment = moments[place];
      if (moment !== undefined && fits(moment)) return place;
    }
    return null;
  }

  function checkEffect(id: string, after: RecordState, written: ReadonlySet<string>): void {
    const from = shown.get(id) ?? 0;
    if (after.status === 'live') {
      const place = placeOf(id, from, (moment) => showsBase(after, moment));
      if (place === null) report('I4', `${id}: a state that is not in its history from moment ${from} on`);
      else shown.set(id, place);
      const isRowWritten = written.has(after.targetKey ?? after.externalId);
      // What waits for a person is held, and is applied only when she decides.
      const last = applied.get(id) ?? null;
      if (last?.baseHash === after.baseHash && last.version === after.version && !isRowWritten)
        report('I5', `${id}: an effective change that changed nothing`);
      applied.set(id, after);
      return;
    }
    applied.delete(id);
    const place = placeOf(id, from, (moment) => moment.fields === null);
    if (place === null) report('I6', `${id}: deleted without a deletion in its history from moment ${from} on`);
    else shown.set(id, place);
  }

  /** Deleted at the source, and perhaps not here yet: its row is made anew there by whoever has not heard of it. */
  const isGone = (id: string): boolean => source.records.get(id)?.moments.at(-1)?.fields === null;

  /**
   * The row of an insert, and one more that its own create came back as; while it is parked that may be. Two records that the
   * source has (or had, for whoever reads late) from two creates are no such rows: `checkWrites` asks whether both may be.
   */
  function checkDouble(key: string): void {
    const ref = tables.rows.get(key)?.ref ?? null;
    if (ref === null) return;
    for (const [other, row] of tables.rows.rows) {
      if (other === key || row.ref !== ref) continue;
      if (source.records.has(key) && source.records.has(other)) continue;
      if (isGone(key) || isGone(other)) continue;
      const isParked = tables.pushes
        .values()
        .some(({ state, targetKey }) => state === 'parked' && (targetKey === other || targetKey === key));
      if (!isParked) report('I8', `${ref}: the rows ${key} and ${other} are both of it`);
    }
  }

  /** While removals are held back for a person, none of them is sent but those that she has released. */
  function checkRemovals(now: Instant): void {
    const { heldDeletes, deletesReleasedAt } = tables.progress.get();
    heldSince = heldDeletes === null ? Number.POSITIVE_INFINITY : Math.min(heldSince, now);
    if (heldDeletes === null) return;
    for (const { op, state, targetKey, firstCallAt, editedAt } of tables.pushes.rows.values()) {
      const isSent = op === 'delete' && state === 'calling' && firstCallAt !== null && firstCallAt > heldSince;
      const isReleased = editedAt !== null && deletesReleasedAt !== null && editedAt <= deletesReleasedAt;
      if (isSent && !isReleased) report('I6', `${targetKey}: its removal is sent, and removals are held back`);
    }
  }

  return {
    check(commit: Commit): void {
      checkRemovals(commit.at);
      for (const fault of commit.faults) report('I14', fault);
      for (const key of commit.written) checkDouble(key);
      for (const [id, { before, after }] of commit.states) {
        if (after.appliedSeq <= (before?.appliedSeq ?? 0)) continue;
        if (deps.checksOrder()) checkEffect(id, after, commit.written);
        for (const push of tables.pushes.rows.values()) {
          const isInFlight = push.state === 'calling' || push.state === 'unknown';
          if (isInFlight && push.externalId === id) report('I13', `${id}: changed while a push of it is in flight`);
        }
      }
    },
    shownOf: (id: string): number => shown.get(id) ?? 0,
    /** From here on the order is compared with what the source holds now. */
    startAnew: () => shown.clear(),
  };
}

function showsBase({ base, version }: RecordState, { fields, version: shown }: Moment): boolean {
  if (fields === null || base === null) return false;
  return (version === null || shown === null || version === shown) && isMapped(base, fields);
}

/** Under any of the mappings. */
export const isMapped = (content: Content, fields: { readonly [name: string]: unknown }): boolean =>
  content.a === (fields.a ?? null) &&
  content.n === (fields.n ?? null) &&
  content.d === (fields.d ?? null) &&
  content.ref === (fields.ref ?? null) &&
  (content.b === undefined || content.b === (fields.b ?? null) || content.b === `[${fields.b}]`);
