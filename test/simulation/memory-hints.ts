import type { NewHint } from '../../src/model/hint.ts';
import type { Instant } from '../../src/model/instant.ts';
import { expectsAbsence } from '../../src/store/hints.ts';
import type { HintRow, Tables } from './tables.ts';

/** Adds hints, or strengthens those that are ready, as the database does. */
export function enqueueHints(tables: Tables, hints: readonly NewHint[]): void {
  for (const hint of hints) {
    const ready = readyHint(tables, hint.externalId);
    if (ready === null) {
      const id = tables.nextId();
      tables.hints.set(id, { ...hint, id, leaseToken: null, leaseExpiresAt: null });
    } else tables.hints.set(ready.id, strengthen(ready, hint));
  }
}

function readyHint(tables: Tables, externalId: string): HintRow | null {
  for (const row of tables.hints.rows.values())
    if (row.externalId === externalId && row.leaseToken === null) return row;
  return null;
}

const strengthen = (ready: HintRow, hint: NewHint): HintRow => ({
  ...ready,
  reason: expectsAbsence(hint.reason) && !expectsAbsence(ready.reason) ? hint.reason : ready.reason,
  attempt: Math.min(ready.attempt, hint.attempt),
  needLo: Math.max(ready.needLo, hint.needLo),
  runAt: Math.min(ready.runAt, hint.runAt),
  minVersion:
    ready.minVersion === null || hint.minVersion === null
      ? null
      : ready.minVersion > hint.minVersion
        ? ready.minVersion
        : hint.minVersion,
  runId: ready.runId ?? hint.runId,
});

/** When the next hint is due, or its lease lapses; infinity when there is none. */
export function nextHintAt(tables: Tables): Instant {
  let next = Number.POSITIVE_INFINITY;
  for (const row of tables.hints.rows.values()) next = Math.min(next, row.leaseExpiresAt ?? row.runAt);
  return next;
}

/** Leases the hint that has been due for longest. */
export function claimHint(tables: Tables, options: { now: Instant; leaseMs: number; token: string }): HintRow | null {
  let chosen: HintRow | null = null;
  for (const row of tables.hints.rows.values()) {
    const dueAt = row.leaseExpiresAt ?? row.runAt;
    if (dueAt <= options.now && (chosen === null || dueAt < (chosen.leaseExpiresAt ?? chosen.runAt))) chosen = row;
  }
  if (chosen === null) return null;
  const leased: HintRow = {
    ...chosen,
    attempt: chosen.attempt + 1,
    leaseToken: options.token,
    leaseExpiresAt: options.now + options.leaseMs * 1000,
  };
  tables.hints.set(chosen.id, leased);
  return leased;
}
