import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  numeric,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** Syncline's own tables. A user's target tables are hers and live wherever she put them. */
export const syncSchema = pgSchema('sync');

const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 6 });
const now = sql`clock_timestamp()`;

/** Deliveries as they came: verified, stored, then answered. States: see `model/inbox.ts`. */
export const inboxDeliveries = syncSchema.table(
  'inbox_deliveries',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    integration: text('integration').notNull(),
    /** The provider's delivery id, joined with the body's hash where the signature does not cover it. */
    dedupeKey: text('dedupe_key'),
    deliveryId: text('delivery_id'),
    /** Null until known: where the type is in the body, the worker reads it. */
    eventType: text('event_type'),
    correlationId: text('correlation_id').notNull(),
    /** JSON of the few headers that say what the body is: its content type, and where the event type stands. */
    headers: text('headers').notNull().default('{}'),
    /** The exact bytes as signed. Bytes, not jsonb: a sender may legally sign what jsonb refuses. */
    body: bytea('body'),
    state: text('state').notNull().default('received'),
    attempt: smallint('attempt').notNull().default(0),
    receivedAt: instant('received_at').notNull().default(now),
    nextAttemptAt: instant('next_attempt_at').notNull().default(now),
    finishedAt: instant('finished_at'),
    outcome: text('outcome'),
  },
  (table) => [
    uniqueIndex('inbox_deliveries_dedupe').on(table.integration, table.dedupeKey).where(sql`dedupe_key IS NOT NULL`),
    index('inbox_deliveries_due').on(table.nextAttemptAt, table.id).where(sql`state = 'received'`),
    index('inbox_deliveries_received_at').on(table.receivedAt),
    index('inbox_deliveries_payload')
      .on(table.receivedAt)
      .where(sql`body IS NOT NULL AND state IN ('applied','skipped')`),
    check('inbox_deliveries_state', sql`state IN ('received','applied','skipped','dead')`),
    check('inbox_deliveries_finished', sql`(state = 'received') = (finished_at IS NULL)`),
  ],
);

/** Durable work items: "read this record again". At most one ready hint a record; a leased one may stand beside it. */
export const hints = syncSchema.table(
  'hints',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    externalId: text('external_id').notNull(),
    reason: text('reason').notNull(),
    /** What satisfies it: a read that is not older than this … */
    needLo: instant('need_lo').notNull(),
    /** … or one that shows at least this version. */
    minVersion: numeric('min_version'),
    state: text('state').notNull().default('ready'),
    attempt: integer('attempt').notNull().default(0),
    runAt: instant('run_at').notNull().default(now),
    leaseToken: uuid('lease_token'),
    leaseExpiresAt: instant('lease_expires_at'),
    createdAt: instant('created_at').notNull().default(now),
    lastErrorCode: text('last_error_code'),
    correlationId: text('correlation_id'),
    /** The run that asked, if one did. */
    runId: uuid('run_id'),
    /** Asked for by a delivery or a person; the reads that runs ask for come after those. */
    isUrgent: boolean('is_urgent').notNull().default(true),
  },
  (table) => [
    uniqueIndex('hints_ready').on(table.integration, table.entity, table.externalId).where(sql`state = 'ready'`),
    index('hints_due_urgent').on(table.runAt).where(sql`state = 'ready' AND is_urgent`),
    index('hints_due_later').on(table.runAt).where(sql`state = 'ready' AND NOT is_urgent`),
    index('hints_leased').on(table.leaseExpiresAt).where(sql`state = 'leased'`),
    index('hints_run').on(table.runId).where(sql`run_id IS NOT NULL`),
    index('hints_record').on(table.integration, table.entity, table.externalId),
    check('hints_state', sql`state IN ('ready','leased')`),
    check('hints_lease', sql`(state = 'leased') = (lease_token IS NOT NULL AND lease_expires_at IS NOT NULL)`),
  ],
);

/** One row per record ever seen, tombstones included. */
export const recordStates = syncSchema.table(
  'record_states',
  {
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    externalId: text('external_id').notNull(),
    /** Value of the target's key column, as text, where it differs from the external id. */
    targetKey: text('target_key'),
    status: text('status').notNull(),
    base: jsonb('base'),
    baseHash: bytea('base_hash'),
    version: numeric('version'),
    etag: text('etag'),
    lo: instant('lo').notNull().default(sql`'-infinity'`),
    hi: instant('hi').notNull().default(sql`'-infinity'`),
    tombVersion: numeric('tomb_version'),
    isTombSoft: boolean('is_tomb_soft').notNull().default(false),
    isTombUnversioned: boolean('is_tomb_unversioned').notNull().default(false),
    aliveAt: instant('alive_at').notNull().default(sql`'-infinity'`),
    absentRuns: smallint('absent_runs').notNull().default(0),
    appliedSeq: bigint('applied_seq', { mode: 'number' }).notNull().default(0),
    regressSeenAt: instant('regress_seen_at'),
    /** How the target stored the base; only of two-way streams. */
    shadow: jsonb('shadow'),
    localVersion: bigint('local_version', { mode: 'number' }).notNull().default(0),
    updatedAt: instant('updated_at').notNull().default(now),
    /** Set on tombstones only, so that no index holds a column that every update changes. */
    buriedAt: instant('buried_at'),
  },
  (table) => [
    primaryKey({ name: 'record_states_pkey', columns: [table.integration, table.entity, table.externalId] }),
    uniqueIndex('record_states_target_key')
      .on(table.integration, table.entity, table.targetKey)
      .where(sql`status = 'live' AND target_key IS NOT NULL`),
    index('record_states_tombstones').on(table.buriedAt).where(sql`buried_at IS NOT NULL`),
    check('record_states_status', sql`status IN ('none','live','tombstone')`),
  ],
);

/** Why a record looks as it does: effective changes and refusals worth telling, bounded per record. */
export const recordHistory = syncSchema.table(
  'record_history',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    externalId: text('external_id').notNull(),
    at: instant('at').notNull().default(now),
    channel: text('channel').notNull(),
    originKind: text('origin_kind').notNull(),
    originId: text('origin_id').notNull(),
    decision: text('decision').notNull(),
    reason: text('reason'),
    version: numeric('version'),
    hash: bytea('hash'),
    appliedSeq: bigint('applied_seq', { mode: 'number' }),
    correlationId: text('correlation_id'),
  },
  (table) => [
    index('record_history_at').on(table.at),
    index('record_history_record').on(table.integration, table.entity, table.externalId, table.id),
    check(
      'record_history_decision',
      sql`decision IN ('insert','update','delete','stale','verify','defer','quarantine','regression','repair','push','conflict')`,
    ),
  ],
);

/** Inputs beyond retry. Kept until replayed, superseded by a newer success, or discarded. */
export const deadLetters = syncSchema.table(
  'dead_letters',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    integration: text('integration').notNull(),
    entity: text('entity'),
    externalId: text('external_id'),
    channel: text('channel').notNull(),
    /** The delivery that carried it, when one did. */
    inboxId: bigint('inbox_id', { mode: 'number' }),
    /** The source's record as received, so that a mended mapping can be applied to it. */
    record: bytea('record'),
    isPartial: boolean('is_partial').notNull().default(false),
    isDelete: boolean('is_delete').notNull().default(false),
    lo: instant('lo').notNull().default(sql`'-infinity'`),
    hi: instant('hi').notNull(),
    version: numeric('version'),
    errorCode: text('error_code').notNull(),
    fieldPath: text('field_path'),
    message: text('message').notNull(),
    attempt: integer('attempt').notNull().default(1),
    firstAt: instant('first_at').notNull().default(now),
    lastAt: instant('last_at').notNull().default(now),
    state: text('state').notNull().default('open'),
    correlationId: text('correlation_id'),
  },
  (table) => [
    uniqueIndex('dead_letters_record')
      .on(table.integration, table.entity, table.externalId, table.channel)
      .where(sql`state = 'open' AND external_id IS NOT NULL`),
    uniqueIndex('dead_letters_delivery')
      .on(table.inboxId)
      .where(sql`state = 'open' AND inbox_id IS NOT NULL AND external_id IS NULL`),
    uniqueIndex('dead_letters_nameless')
      .on(table.integration, table.entity, table.channel, table.errorCode, sql`coalesce(field_path, '')`)
      .where(sql`state = 'open' AND inbox_id IS NULL AND external_id IS NULL`),
    index('dead_letters_state').on(table.state, table.integration, table.id),
    check('dead_letters_state_known', sql`state IN ('open','replayed','superseded','discarded')`),
  ],
);

/** Correctness-critical progress of one stream: where incremental reading stands, and whether a full run is owed. */
export const streams = syncSchema.table(
  'streams',
  {
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    /** Settled cursor: every change at or below it has been seen. In the version's unit. */
    cursor: numeric('cursor'),
    /** Greatest key seen by a page, with when that page was requested: `[[instantMicros, "key"], …]`. */
    marks: jsonb('marks').$type<[number, string][]>().notNull().default([]),
    needsFullAt: instant('needs_full_at').default(now),
    lastFullStartedAt: instant('last_full_started_at'),
    mappingFingerprint: text('mapping_fingerprint'),
    /** Set while the stream must not run: why, in words. */
    pausedReason: text('paused_reason'),
    /** Set while removals of rows are not pushed: why, in words. */
    heldDeletes: text('held_deletes'),
    /** Removals of rows up to this moment were meant, as a person has said. */
    deletesReleasedAt: instant('deletes_released_at'),
    /** Rows that no transaction from this one on has written were there when edits began to be captured, or are audited. */
    auditedXid: bigint('audited_xid', { mode: 'bigint' }),
  },
  (table) => [primaryKey({ name: 'streams_pkey', columns: [table.integration, table.entity] })],
);

/** One pass of the reconciler over one stream. States: see `model/run.ts`. */
export const syncRuns = syncSchema.table(
  'sync_runs',
  {
    id: uuid('id').primaryKey(),
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    mode: text('mode').notNull(),
    trigger: text('trigger').notNull(),
    isDryRun: boolean('is_dry_run').notNull().default(false),
    /** First load of the stream: what it inserts is not drift. */
    isBackfill: boolean('is_backfill').notNull().default(false),
    sinceAt: instant('since_at'),
    onlyIds: jsonb('only_ids').$type<string[]>(),
    state: text('state').notNull().default('queued'),
    leaseToken: uuid('lease_token'),
    leaseExpiresAt: instant('lease_expires_at'),
    isCancelRequested: boolean('is_cancel_requested').notNull().default(false),
    createdAt: instant('created_at').notNull().default(now),
    /** Low watermark: committed before the first request. Null until the run begins. */
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
    startCursor: numeric('start_cursor'),
    pageCursor: text('page_cursor'),
    isListed: boolean('is_listed').notNull().default(false),
    isIdsComplete: boolean('is_ids_complete').notNull().default(true),
    maxKey: numeric('max_key'),
    pages: integer('pages').notNull().default(0),
    /** Not before: the source was away, or asked us to wait; the run goes on at its checkpoint then. */
    resumeAt: instant('resume_at'),
    /** Interruptions by the source since the last page that was new. */
    stalls: smallint('stalls').notNull().default(0),
    /** The most pages that any listing of this run has reached: a page beyond is progress. */
    mostPages: integer('most_pages').notNull().default(0),
    /** Past it the run fails. Moves with the pauses of its integration. */
    deadlineAt: instant('deadline_at'),
    seen: integer('seen').notNull().default(0),
    inserted: integer('inserted').notNull().default(0),
    updated: integer('updated').notNull().default(0),
    deleted: integer('deleted').notNull().default(0),
    repaired: integer('repaired').notNull().default(0),
    unchanged: integer('unchanged').notNull().default(0),
    stale: integer('stale').notNull().default(0),
    verify: integer('verify').notNull().default(0),
    deferred: integer('deferred').notNull().default(0),
    failed: integer('failed').notNull().default(0),
    ignored: integer('ignored').notNull().default(0),
    linked: integer('linked').notNull().default(0),
    unmatched: integer('unmatched').notNull().default(0),
    candidates: integer('candidates'),
    liveBefore: integer('live_before'),
    approvedBy: text('approved_by'),
    errorCode: text('error_code'),
    error: text('error'),
  },
  (table) => [
    uniqueIndex('sync_runs_active')
      .on(table.integration, table.entity)
      .where(sql`state IN ('queued','running') AND NOT is_dry_run`),
    index('sync_runs_claimable').on(table.createdAt).where(sql`state IN ('queued','running')`),
    index('sync_runs_stream').on(table.integration, table.entity, table.createdAt),
    check('sync_runs_mode', sql`mode IN ('incremental','full','ids')`),
    check('sync_runs_state', sql`state IN ('queued','running','braked','succeeded','partial','failed','cancelled')`),
    check('sync_runs_finished', sql`(state IN ('queued','running')) = (finished_at IS NULL)`),
    check('sync_runs_lease', sql`(lease_token IS NULL) = (lease_expires_at IS NULL)`),
    check('sync_runs_resume', sql`resume_at IS NULL OR (state = 'running' AND lease_token IS NULL)`),
  ],
);

/**
 * Edits of two-way rows, written by the capture trigger: rows of one statement share a line, up to 64, which costs the user
 * less than half of a line each. Taken by deletion: ids become visible out of order.
 */
export const localChanges = syncSchema.table(
  'local_changes',
  {
    id: bigserial('id', { mode: 'number' }).notNull(),
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    /** Values of the target's key column as text; none where the whole table was emptied. */
    targetKeys: text('target_keys').array().notNull(),
    op: text('op').notNull(),
    at: instant('at').notNull().default(now),
  },
  (table) => [
    // One index alone: each costs the user's statement.
    primaryKey({ name: 'local_changes_pkey', columns: [table.integration, table.entity, table.id] }),
    check('local_changes_op', sql`op IN ('I','U','D','T')`),
    check('local_changes_keys', sql`(op = 'T') = (cardinality(target_keys) = 0)`),
  ],
);

/** Edits on their way to the source, one ready intent a row. States: see `model/push.ts`. */
export const outboxPushes = syncSchema.table(
  'outbox_pushes',
  {
    id: uuid('id').primaryKey().default(sql`gen_random_uuid()`),
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    op: text('op').notNull().default('update'),
    /** Whose values it brings: the row's, or a request's that wait here until the source has confirmed them. */
    carries: text('carries').notNull().default('row'),
    externalId: text('external_id'),
    targetKey: text('target_key').notNull(),
    state: text('state').notNull().default('ready'),
    edits: integer('edits').notNull().default(1),
    snapshot: jsonb('snapshot'),
    patch: jsonb('patch'),
    /** The exact request, as JSON text: never reformatted. */
    request: text('request'),
    ifMatch: text('if_match'),
    preVersion: numeric('pre_version'),
    tokenId: uuid('token_id'),
    firstCallAt: instant('first_call_at'),
    deadline: instant('deadline'),
    runAt: instant('run_at').notNull().default(now),
    editedAt: instant('edited_at').notNull().default(now),
    createdAt: instant('created_at').notNull().default(now),
    finishedAt: instant('finished_at'),
    attempt: integer('attempt').notNull().default(0),
    leaseToken: uuid('lease_token'),
    leaseExpiresAt: instant('lease_expires_at'),
    parkReason: text('park_reason'),
    errorCode: text('error_code'),
    error: text('error'),
  },
  (table) => [
    uniqueIndex('outbox_pushes_ready').on(table.integration, table.entity, table.targetKey).where(sql`state = 'ready'`),
    uniqueIndex('outbox_pushes_single_flight')
      .on(table.integration, table.entity, table.targetKey)
      .where(sql`state IN ('calling','unknown')`),
    index('outbox_pushes_due').on(table.integration, table.entity, table.runAt).where(sql`state = 'ready'`),
    index('outbox_pushes_flights')
      .on(table.integration, table.entity, table.externalId)
      .where(sql`state IN ('calling','unknown')`),
    index('outbox_pushes_parked').on(table.integration, table.entity, table.id).where(sql`state = 'parked'`),
    index('outbox_pushes_calls').on(table.integration, table.entity, table.targetKey, table.firstCallAt),
    index('outbox_pushes_finished').on(table.finishedAt).where(sql`state = 'done'`),
    index('outbox_pushes_payload').on(table.finishedAt).where(sql`state = 'done' AND request IS NOT NULL`),
    index('outbox_pushes_removals').on(table.integration, table.entity, table.editedAt).where(sql`op = 'delete'`),
    check('outbox_pushes_op', sql`op IN ('create','update','delete')`),
    check('outbox_pushes_carries', sql`carries = 'row' OR (carries = 'request' AND state <> 'ready')`),
    check('outbox_pushes_state', sql`state IN ('ready','calling','unknown','parked','done')`),
    check('outbox_pushes_lease', sql`(lease_token IS NULL) = (lease_expires_at IS NULL)`),
    check('outbox_pushes_calling', sql`state <> 'calling' OR (lease_token IS NOT NULL AND request IS NOT NULL)`),
    check('outbox_pushes_parked_why', sql`(state = 'parked') = (park_reason IS NOT NULL)`),
    check(
      'outbox_pushes_park_reason',
      sql`park_reason IN ('refused','create_unknown','loop_suspected','mass_delete','unmappable','cannot_settle')`,
    ),
    check('outbox_pushes_done', sql`(state = 'done') = (finished_at IS NOT NULL)`),
  ],
);

/** Idempotency keys that clients sent with creates, for a day: the same key stands for the same row. */
export const editKeys = syncSchema.table(
  'edit_keys',
  {
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    /** SHA-256 of the key, and of what was to be created. */
    keyHash: bytea('key_hash').notNull(),
    requestHash: bytea('request_hash').notNull(),
    targetKey: text('target_key').notNull(),
    pushId: uuid('push_id').notNull(),
    createdAt: instant('created_at').notNull().default(now),
  },
  (table) => [
    primaryKey({ name: 'edit_keys_pkey', columns: [table.integration, table.entity, table.keyHash] }),
    index('edit_keys_created_at').on(table.createdAt),
  ],
);

/** Writes of ours whose reflection may come back. They label and settle, and never decide alone. */
export const changeTokens = syncSchema.table(
  'change_tokens',
  {
    id: uuid('id').primaryKey(),
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    externalId: text('external_id'),
    targetKey: text('target_key').notNull(),
    state: text('state').notNull(),
    preHash: bytea('pre_hash'),
    fieldHashes: jsonb('field_hashes').notNull().default({}),
    resultHash: bytea('result_hash'),
    resultVersion: numeric('result_version'),
    resultEtag: text('result_etag'),
    echo: jsonb('echo'),
    seenCount: integer('seen_count').notNull().default(0),
    createdAt: instant('created_at').notNull().default(now),
    expiresAt: instant('expires_at'),
  },
  (table) => [
    index('change_tokens_record').on(table.integration, table.entity, table.externalId, table.createdAt),
    index('change_tokens_expires_at').on(table.expiresAt).where(sql`state <> 'pending'`),
    check('change_tokens_state', sql`state IN ('pending','confirmed','rejected')`),
    check('change_tokens_expiry', sql`(state = 'pending') = (expires_at IS NULL)`),
  ],
);

/** Values of both sides that met. Without an outcome it waits for a person. */
export const conflicts = syncSchema.table(
  'conflicts',
  {
    id: uuid('id').primaryKey().default(sql`gen_random_uuid()`),
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    externalId: text('external_id'),
    targetKey: text('target_key').notNull(),
    kind: text('kind').notNull(),
    fields: text('fields').array().notNull(),
    base: jsonb('base'),
    local: jsonb('local'),
    remote: jsonb('remote'),
    remoteVersion: numeric('remote_version'),
    policy: text('policy').notNull(),
    outcome: text('outcome'),
    createdAt: instant('created_at').notNull().default(now),
    resolvedAt: instant('resolved_at'),
    resolvedBy: text('resolved_by'),
  },
  (table) => [
    uniqueIndex('conflicts_open').on(table.integration, table.entity, table.targetKey).where(sql`outcome IS NULL`),
    index('conflicts_created_at').on(table.createdAt),
    check(
      'conflicts_kind',
      sql`kind IN ('both_changed','deleted_at_source','deleted_here','adopted','created_and_deleted')`,
    ),
    check('conflicts_policy', sql`policy IN ('source_wins','target_wins','newest_wins','manual')`),
    check('conflicts_outcome', sql`outcome IN ('local','remote','mixed','superseded')`),
    check('conflicts_resolved', sql`(outcome IS NULL) = (resolved_at IS NULL)`),
  ],
);

/**
 * Which ids a full run saw, a row a page, dropped after its sweep. Unlogged (see the migration): it costs no log, and a
 * database crash empties it, which the run notices because `sync_runs.pages` then differs.
 */
export const runPages = syncSchema.table(
  'run_pages',
  {
    runId: uuid('run_id').notNull(),
    page: integer('page').notNull(),
    ids: text('ids').array().notNull(),
  },
  (table) => [primaryKey({ name: 'run_pages_pkey', columns: [table.runId, table.page] })],
);

/** Records that a braked sweep would delete, waiting for approval. */
export const sweepCandidates = syncSchema.table(
  'sweep_candidates',
  {
    runId: uuid('run_id').notNull(),
    externalId: text('external_id').notNull(),
  },
  (table) => [primaryKey({ name: 'sweep_candidates_pkey', columns: [table.runId, table.externalId] })],
);

/** For people: one row a stream, readable with plain SQL. Rebuilt by the flows; nothing decides by it. */
export const syncStatus = syncSchema.table(
  'sync_status',
  {
    integration: text('integration').notNull(),
    entity: text('entity').notNull(),
    lastSyncAt: instant('last_sync_at'),
    lastStatus: text('last_status'),
    lastMode: text('last_mode'),
    recordsSynced: bigint('records_synced', { mode: 'number' }).notNull().default(0),
    recordsFailed: bigint('records_failed', { mode: 'number' }).notNull().default(0),
    lastCursor: text('last_cursor'),
    lastError: text('last_error'),
    durationMs: integer('duration_ms'),
    /** Everything that happened at the source before this moment is known to be applied. */
    freshAsOf: instant('fresh_as_of'),
    lastHookAt: instant('last_hook_at'),
    hookApplied: bigint('hook_applied', { mode: 'number' }).notNull().default(0),
    driftMissing: bigint('drift_missing', { mode: 'number' }).notNull().default(0),
    driftStale: bigint('drift_stale', { mode: 'number' }).notNull().default(0),
    driftDeleted: bigint('drift_deleted', { mode: 'number' }).notNull().default(0),
    driftRepaired: bigint('drift_repaired', { mode: 'number' }).notNull().default(0),
    updatedAt: instant('updated_at').notNull().default(now),
  },
  (table) => [
    primaryKey({ name: 'sync_status_pkey', columns: [table.integration, table.entity] }),
    check('sync_status_last_status', sql`last_status IN ('success','partial','failed')`),
  ],
);

/** How many deliveries met which fate, for people: the refused ones leave no other trace. */
export const deliveryCounts = syncSchema.table(
  'delivery_counts',
  {
    integration: text('integration').notNull(),
    fate: text('fate').notNull(),
    count: bigint('count', { mode: 'number' }).notNull().default(0),
  },
  (table) => [
    primaryKey({ name: 'delivery_counts_pkey', columns: [table.integration, table.fate] }),
    check('delivery_counts_fate', sql`fate IN ('accepted','duplicate','rejected','unknown_type','unreadable')`),
  ],
);

/**
 * What all replicas must know of one source: how much of its limits is used, how its breaker stands, whether work with it
 * is paused.
 */
export const sourceStates = syncSchema.table(
  'source_states',
  {
    integration: text('integration').primaryKey(),
    /** Use of the rate limits; its content is the source client's business. */
    limits: jsonb('limits'),
    breaker: text('breaker').notNull().default('closed'),
    breakerAt: instant('breaker_at'),
    /** The failure that opened it last, as a code and words. */
    breakerReason: text('breaker_reason'),
    /** Set while nothing but webhooks is taken: `auth` (the source refuses our credentials) or `operator`. */
    paused: text('paused'),
    pausedDetail: text('paused_detail'),
    pausedAt: instant('paused_at'),
    /** No push is sent before it: the source asked for a wait. */
    blockedUntil: instant('blocked_until'),
  },
  () => [
    check('source_states_breaker', sql`breaker IN ('closed','open','half_open')`),
    check('source_states_paused', sql`paused IN ('auth','operator')`),
    check('source_states_paused_at', sql`(paused IS NULL) = (paused_at IS NULL)`),
  ],
);

/** Tokens of one integration, sealed (AES-256-GCM). One row, so that the lease, the generation and the tokens agree. */
export const credentials = syncSchema.table(
  'credentials',
  {
    integration: text('integration').primaryKey(),
    /** Null until the first tokens are there. */
    sealed: bytea('sealed'),
    /** Grows with every save. */
    generation: bigint('generation', { mode: 'number' }).notNull().default(0),
    leaseToken: uuid('lease_token'),
    leaseExpiresAt: instant('lease_expires_at'),
    /** The generation whose refresh token was about to be used: still there after a crash, it may be used up. */
    usedGeneration: bigint('used_generation', { mode: 'number' }),
    updatedAt: instant('updated_at').notNull().default(now),
  },
  () => [check('credentials_lease', sql`(lease_token IS NULL) = (lease_expires_at IS NULL)`)],
);

/** Authorizations that were begun in a browser and have not come back. Each is taken once. */
export const oauthFlows = syncSchema.table(
  'oauth_flows',
  {
    /** SHA-256 of the `state` parameter. */
    stateHash: bytea('state_hash').primaryKey(),
    integration: text('integration').notNull(),
    /** PKCE verifier, sealed. */
    sealed: bytea('sealed').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (table) => [index('oauth_flows_expires_at').on(table.expiresAt)],
);

/** Exclusive claims among replicas that end by themselves; `fence` grows with every change of holder. */
export const leases = syncSchema.table('leases', {
  name: text('name').primaryKey(),
  holder: text('holder'),
  fence: bigint('fence', { mode: 'number' }).notNull().default(0),
  expiresAt: instant('expires_at').notNull().default(sql`'-infinity'`),
});
