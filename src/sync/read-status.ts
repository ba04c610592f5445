import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import { type Instant, toDate } from '../model/instant.ts';
import type { Run } from '../model/run.ts';
import { type CapturedTable, readCapturedTables } from '../store/captured-tables.ts';
import { countOpenDeadLetters } from '../store/dead-letters.ts';
import { readHintQueue } from '../store/hints.ts';
import { readBacklog } from '../store/inbox.ts';
import { listRuns } from '../store/runs.ts';
import { readSourceStates } from '../store/source-states.ts';
import {
  type DeliveryCount,
  type DeliveryFate,
  readDeliveryCounts,
  readStatusRows,
  type StatusRow,
} from '../store/status.ts';
import { readStreams, type StreamProgress } from '../store/streams.ts';
import type { Integration } from './integration.ts';
import { type PushStatus, pushReasons, readPushStatus } from './push-status.ts';
import { describeSource, type LimitsOf, readLimits, sourceReasons } from './source-status.ts';
import { streamName } from './stream.ts';

export type StreamHealth = 'healthy' | 'degraded' | 'failed' | 'paused';

/** A delivery or a read that waits longer than this says that the workers do not keep up. */
const MAX_WAIT_MS = 60_000;
const MAX_RECENT_RUNS = 500;

/** How every stream of the given integrations stands, in words that a person can act on. */
export async function readStatus(
  db: Db,
  integrations: readonly Integration[],
  { nextRunAt, limitsOf }: { readonly nextRunAt: (stream: string) => Date | null; readonly limitsOf: LimitsOf },
) {
  const now = await readDatabaseNow(db);
  const [rows, streams, backlog, hints, letters, braked, open, counts, sources, limits, pushes, tables] =
    await Promise.all([
      readStatusRows(db, null),
      readStreams(db),
      readBacklog(db),
      readHintQueue(db),
      countOpenDeadLetters(db),
      listRuns(db, { integration: null, entity: null, state: 'braked', limit: MAX_RECENT_RUNS }),
      listRuns(db, { integration: null, entity: null, state: 'running', limit: MAX_RECENT_RUNS }),
      readDeliveryCounts(db),
      readSourceStates(db),
      Promise.all(integrations.map(({ name }) => readLimits(limitsOf, name))),
      readPushStatus(db, now),
      readCapturedTables(
        db,
        integrations.flatMap(({ streams: own }) => [...own.values()].filter(({ twoWay }) => twoWay !== null)),
      ),
    ]);
  return integrations.map((integration, place) => {
    const source = sources.get(integration.name);
    const waiting = backlog.find((one) => one.integration === integration.name);
    const unread = letters.find((one) => one.integration === integration.name && one.entity === null)?.open ?? 0;
    const inbox = {
      waiting: waiting?.waiting ?? 0,
      oldestWaitMs: waiting === undefined ? null : age(now, waiting.oldestAt),
    };
    const entities = [...integration.streams.values()].map((stream) => {
      const name = streamName(stream.key);
      const mine = (one: { integration: string; entity: string | null }) =>
        one.integration === stream.key.integration && one.entity === stream.key.entity;
      const queue = hints.find(mine);
      const facts: Facts = {
        row: rows.find(mine) ?? null,
        progress: streams.find(mine) ?? null,
        inboxWaitMs: inbox.oldestWaitMs,
        readWaitMs: queue === undefined || queue.oldestAt === null ? null : age(now, queue.oldestAt),
        deadLetters: letters.find(mine)?.open ?? 0,
        brakedRun: braked.find(mine)?.id ?? null,
        stalledRun: open.find((run) => mine(run) && run.stalls > 0) ?? null,
        isPaused: source?.paused != null,
        ofSource: sourceReasons(integration, source),
        pushes: stream.twoWay === null ? null : pushes(stream.key),
        table: tables.find(({ capture }) => capture === stream) ?? null,
      };
      const reasons = findReasons(facts);
      return {
        entity: stream.key.entity,
        state: decideHealth(facts, reasons),
        reasons,
        ...describeRow(facts.row, now),
        nextRunAt: nextRunAt(name)?.toISOString() ?? null,
        runUnderWay: open.find(mine)?.id ?? null,
        readsWaiting: queue?.waiting ?? 0,
        deadLetters: facts.deadLetters,
        isFullRunOwed: facts.progress?.needsFullAt != null,
        /** Null of a mirror. */
        pushes: facts.pushes,
      };
    });
    return {
      integration: integration.name,
      state: source?.paused == null ? worst(entities.map(({ state }) => state)) : 'paused',
      source: describeSource(source, limits[place] ?? null),
      inbox,
      deliveries: countsOf(counts, integration.name),
      unreadableDeliveries: unread,
      entities,
    };
  });
}

const countsOf = (counts: readonly DeliveryCount[], integration: string) => {
  const of = (fate: DeliveryFate) =>
    counts.find((one) => one.integration === integration && one.fate === fate)?.count ?? 0;
  return {
    accepted: of('accepted'),
    duplicates: of('duplicate'),
    rejected: of('rejected'),
    unknownTypes: of('unknown_type'),
    unreadable: of('unreadable'),
  };
};

type Facts = {
  row: StatusRow | null;
  progress: StreamProgress | null;
  inboxWaitMs: number | null;
  readWaitMs: number | null;
  deadLetters: number;
  brakedRun: string | null;
  stalledRun: Run | null;
  /** The whole integration, not the stream alone. */
  isPaused: boolean;
  ofSource: readonly string[];
  /** Null of a mirror, as is its table. */
  pushes: PushStatus | null;
  table: CapturedTable | null;
};

/** Everything that keeps a stream from being healthy; the rules are told in `docs/operating.md`. */
function findReasons(facts: Facts): string[] {
  const { row, progress, inboxWaitMs, readWaitMs, deadLetters, brakedRun, stalledRun } = facts;
  const reasons: string[] = [...facts.ofSource];
  if (progress?.pausedReason != null) reasons.push(`paused: ${progress.pausedReason}`);
  if (row?.lastStatus === 'failed') reasons.push(`last run failed: ${row.lastError ?? 'no reason was recorded'}`);
  if (brakedRun !== null) reasons.push(`the sweep of run ${brakedRun} waits for approval`);
  if (row?.lastStatus === 'partial' && brakedRun === null)
    reasons.push(`last run was partial: ${row.lastError ?? 'it set records aside'}`);
  if (stalledRun !== null) reasons.push(describeOpenRun(stalledRun, facts.isPaused));
  if (deadLetters > 0) reasons.push(`${deadLetters} dead letters are open`);
  if ((inboxWaitMs ?? 0) > MAX_WAIT_MS) reasons.push('deliveries wait too long');
  if ((readWaitMs ?? 0) > MAX_WAIT_MS) reasons.push('reads wait too long');
  if (facts.table !== null) reasons.push(...tableReasons(facts.table));
  if (facts.pushes !== null) reasons.push(...pushReasons(facts.pushes, facts.isPaused));
  if (row?.lastSyncAt == null) reasons.push('no run has ended yet');
  return reasons;
}

/** While the table is missing, that alone is told. */
function tableReasons({ now, isCapturing, change }: CapturedTable): string[] {
  if (now === null) return [];
  const reasons: string[] = [];
  if (!isCapturing) {
    reasons.push('edits of its table are not captured: triggers of it are missing or switched off, and are put back');
  }
  if (change.kind === 'table') reasons.push('its table was made anew: nothing is pushed until it is taken up');
  if (change.kind === 'columns') {
    const names = change.names.join(', ');
    reasons.push(`columns of its table were made anew (${names}): nothing is pushed until they are taken up`);
  }
  return reasons;
}

/** What an open run is waiting for, if anything. */
export function describeOpenRun({ id, state, stalls, resumeAt, errorCode, error }: Run, isPaused: boolean): string {
  const resumed = 'goes on when its integration is resumed';
  if (stalls > 0) {
    const tried = resumeAt === null ? 'is being tried again' : `goes on at ${iso(resumeAt)}`;
    const since = `${stalls} since its last page`;
    return `run ${id} was interrupted (${since}) and ${isPaused ? resumed : tried}: ${errorCode}: ${error}`;
  }
  if (isPaused) return `run ${id} ${resumed}`;
  return `run ${id} ${state === 'queued' ? 'waits for a worker' : 'is under way'}`;
}

function decideHealth({ row, progress, isPaused }: Facts, reasons: readonly string[]): StreamHealth {
  if (isPaused || progress?.pausedReason != null) return 'paused';
  if (row?.lastStatus === 'failed') return 'failed';
  return reasons.length > 0 ? 'degraded' : 'healthy';
}

const SEVERITY: readonly StreamHealth[] = ['healthy', 'degraded', 'paused', 'failed'];
const worst = (states: readonly StreamHealth[]): StreamHealth =>
  SEVERITY[Math.max(0, ...states.map((state) => SEVERITY.indexOf(state)))] ?? 'healthy';

function describeRow(row: StatusRow | null, now: Instant) {
  const drift = {
    missing: row?.driftMissing ?? 0,
    stale: row?.driftStale ?? 0,
    deleted: row?.driftDeleted ?? 0,
    repaired: row?.driftRepaired ?? 0,
  };
  const missed = drift.missing + drift.stale + drift.deleted;
  const known = missed + (row?.hookApplied ?? 0);
  return {
    lastSyncAt: iso(row?.lastSyncAt ?? null),
    lastSyncStatus: row?.lastStatus ?? null,
    lastSyncMode: row?.lastMode ?? null,
    lastSyncDurationMs: row?.durationMs ?? null,
    recordsSynced: row?.recordsSynced ?? 0,
    recordsFailed: row?.recordsFailed ?? 0,
    lastCursor: row?.lastCursor ?? null,
    lastError: row?.lastError ?? null,
    freshAsOf: iso(row?.freshAsOf ?? null),
    freshnessMs: row?.freshAsOf == null ? null : age(now, row.freshAsOf),
    lastWebhookAt: iso(row?.lastHookAt ?? null),
    appliedByWebhook: row?.hookApplied ?? 0,
    drift,
    /** Of all changes, the share that no webhook brought; null before there was one. */
    missedWebhookRate: known === 0 ? null : missed / known,
  };
}

const age = (now: Instant, at: Instant): number => Math.max(0, Math.round((now - at) / 1000));
const iso = (at: Instant | null): string | null => (at === null ? null : toDate(at).toISOString());
