CREATE SCHEMA IF NOT EXISTS "sync";
--> statement-breakpoint
CREATE TABLE "sync"."dead_letters" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"integration" text NOT NULL,
	"entity" text,
	"external_id" text,
	"channel" text NOT NULL,
	"inbox_id" bigint,
	"record" "bytea",
	"is_partial" boolean DEFAULT false NOT NULL,
	"is_delete" boolean DEFAULT false NOT NULL,
	"lo" timestamp (6) with time zone DEFAULT '-infinity' NOT NULL,
	"hi" timestamp (6) with time zone NOT NULL,
	"version" numeric,
	"error_code" text NOT NULL,
	"field_path" text,
	"message" text NOT NULL,
	"attempt" integer DEFAULT 1 NOT NULL,
	"first_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"last_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"state" text DEFAULT 'open' NOT NULL,
	"correlation_id" text,
	CONSTRAINT "dead_letters_state_known" CHECK (state IN ('open','replayed','superseded','discarded'))
);
--> statement-breakpoint
CREATE TABLE "sync"."delivery_counts" (
	"integration" text NOT NULL,
	"fate" text NOT NULL,
	"count" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "delivery_counts_pkey" PRIMARY KEY("integration","fate"),
	CONSTRAINT "delivery_counts_fate" CHECK (fate IN ('accepted','duplicate','rejected','unknown_type','unreadable'))
);
--> statement-breakpoint
CREATE TABLE "sync"."hints" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"external_id" text NOT NULL,
	"reason" text NOT NULL,
	"need_lo" timestamp (6) with time zone NOT NULL,
	"min_version" numeric,
	"state" text DEFAULT 'ready' NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"run_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"lease_token" uuid,
	"lease_expires_at" timestamp (6) with time zone,
	"created_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"last_error_code" text,
	"correlation_id" text,
	"run_id" uuid,
	CONSTRAINT "hints_state" CHECK (state IN ('ready','leased')),
	CONSTRAINT "hints_lease" CHECK ((state = 'leased') = (lease_token IS NOT NULL AND lease_expires_at IS NOT NULL))
);
--> statement-breakpoint
CREATE TABLE "sync"."inbox_deliveries" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"integration" text NOT NULL,
	"dedupe_key" text,
	"delivery_id" text,
	"event_type" text,
	"correlation_id" text NOT NULL,
	"headers" text DEFAULT '{}' NOT NULL,
	"body" "bytea",
	"state" text DEFAULT 'received' NOT NULL,
	"attempt" smallint DEFAULT 0 NOT NULL,
	"received_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"next_attempt_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"finished_at" timestamp (6) with time zone,
	"outcome" text,
	CONSTRAINT "inbox_deliveries_state" CHECK (state IN ('received','applied','skipped','dead')),
	CONSTRAINT "inbox_deliveries_finished" CHECK ((state = 'received') = (finished_at IS NULL))
);
--> statement-breakpoint
CREATE TABLE "sync"."leases" (
	"name" text PRIMARY KEY NOT NULL,
	"holder" text,
	"fence" bigint DEFAULT 0 NOT NULL,
	"expires_at" timestamp (6) with time zone DEFAULT '-infinity' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sync"."record_history" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"external_id" text NOT NULL,
	"at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"channel" text NOT NULL,
	"origin_kind" text NOT NULL,
	"origin_id" text NOT NULL,
	"decision" text NOT NULL,
	"reason" text,
	"version" numeric,
	"hash" "bytea",
	"applied_seq" bigint,
	"correlation_id" text,
	CONSTRAINT "record_history_decision" CHECK (decision IN ('insert','update','delete','stale','verify','defer','quarantine','regression','repair'))
);
--> statement-breakpoint
CREATE TABLE "sync"."record_states" (
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"external_id" text NOT NULL,
	"target_key" text,
	"status" text NOT NULL,
	"base" jsonb,
	"base_hash" "bytea",
	"version" numeric,
	"etag" text,
	"lo" timestamp (6) with time zone DEFAULT '-infinity' NOT NULL,
	"hi" timestamp (6) with time zone DEFAULT '-infinity' NOT NULL,
	"tomb_version" numeric,
	"is_tomb_soft" boolean DEFAULT false NOT NULL,
	"is_tomb_unversioned" boolean DEFAULT false NOT NULL,
	"alive_at" timestamp (6) with time zone DEFAULT '-infinity' NOT NULL,
	"absent_runs" smallint DEFAULT 0 NOT NULL,
	"applied_seq" bigint DEFAULT 0 NOT NULL,
	"regress_seen_at" timestamp (6) with time zone,
	"updated_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"buried_at" timestamp (6) with time zone,
	CONSTRAINT "record_states_pkey" PRIMARY KEY("integration","entity","external_id"),
	CONSTRAINT "record_states_status" CHECK (status IN ('none','live','tombstone'))
);
--> statement-breakpoint
CREATE TABLE "sync"."run_pages" (
	"run_id" uuid NOT NULL,
	"page" integer NOT NULL,
	"ids" text[] NOT NULL,
	CONSTRAINT "run_pages_pkey" PRIMARY KEY("run_id","page")
);
--> statement-breakpoint
CREATE TABLE "sync"."streams" (
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"cursor" numeric,
	"marks" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"needs_full_at" timestamp (6) with time zone DEFAULT clock_timestamp(),
	"last_full_started_at" timestamp (6) with time zone,
	"mapping_fingerprint" text,
	"paused_reason" text,
	CONSTRAINT "streams_pkey" PRIMARY KEY("integration","entity")
);
--> statement-breakpoint
CREATE TABLE "sync"."sweep_candidates" (
	"run_id" uuid NOT NULL,
	"external_id" text NOT NULL,
	CONSTRAINT "sweep_candidates_pkey" PRIMARY KEY("run_id","external_id")
);
--> statement-breakpoint
CREATE TABLE "sync"."sync_runs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"mode" text NOT NULL,
	"trigger" text NOT NULL,
	"is_dry_run" boolean DEFAULT false NOT NULL,
	"is_backfill" boolean DEFAULT false NOT NULL,
	"since_at" timestamp (6) with time zone,
	"only_ids" jsonb,
	"state" text DEFAULT 'queued' NOT NULL,
	"lease_token" uuid,
	"lease_expires_at" timestamp (6) with time zone,
	"is_cancel_requested" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"started_at" timestamp (6) with time zone,
	"finished_at" timestamp (6) with time zone,
	"start_cursor" numeric,
	"page_cursor" text,
	"is_listed" boolean DEFAULT false NOT NULL,
	"is_ids_complete" boolean DEFAULT true NOT NULL,
	"max_key" numeric,
	"pages" integer DEFAULT 0 NOT NULL,
	"seen" integer DEFAULT 0 NOT NULL,
	"inserted" integer DEFAULT 0 NOT NULL,
	"updated" integer DEFAULT 0 NOT NULL,
	"deleted" integer DEFAULT 0 NOT NULL,
	"repaired" integer DEFAULT 0 NOT NULL,
	"unchanged" integer DEFAULT 0 NOT NULL,
	"stale" integer DEFAULT 0 NOT NULL,
	"verify" integer DEFAULT 0 NOT NULL,
	"deferred" integer DEFAULT 0 NOT NULL,
	"failed" integer DEFAULT 0 NOT NULL,
	"ignored" integer DEFAULT 0 NOT NULL,
	"candidates" integer,
	"live_before" integer,
	"approved_by" text,
	"error_code" text,
	"error" text,
	CONSTRAINT "sync_runs_mode" CHECK (mode IN ('incremental','full','ids')),
	CONSTRAINT "sync_runs_state" CHECK (state IN ('queued','running','braked','succeeded','partial','failed','cancelled')),
	CONSTRAINT "sync_runs_finished" CHECK ((state IN ('queued','running')) = (finished_at IS NULL)),
	CONSTRAINT "sync_runs_lease" CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL))
);
--> statement-breakpoint
CREATE TABLE "sync"."sync_status" (
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"last_sync_at" timestamp (6) with time zone,
	"last_status" text,
	"last_mode" text,
	"records_synced" bigint DEFAULT 0 NOT NULL,
	"records_failed" bigint DEFAULT 0 NOT NULL,
	"last_cursor" text,
	"last_error" text,
	"duration_ms" integer,
	"fresh_as_of" timestamp (6) with time zone,
	"last_hook_at" timestamp (6) with time zone,
	"hook_applied" bigint DEFAULT 0 NOT NULL,
	"drift_missing" bigint DEFAULT 0 NOT NULL,
	"drift_stale" bigint DEFAULT 0 NOT NULL,
	"drift_deleted" bigint DEFAULT 0 NOT NULL,
	"drift_repaired" bigint DEFAULT 0 NOT NULL,
	"updated_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "sync_status_pkey" PRIMARY KEY("integration","entity"),
	CONSTRAINT "sync_status_last_status" CHECK (last_status IN ('success','partial','failed'))
);
--> statement-breakpoint
CREATE UNIQUE INDEX "dead_letters_record" ON "sync"."dead_letters" USING btree ("integration","entity","external_id","channel") WHERE state = 'open' AND external_id IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "dead_letters_delivery" ON "sync"."dead_letters" USING btree ("inbox_id") WHERE state = 'open' AND inbox_id IS NOT NULL AND external_id IS NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "dead_letters_nameless" ON "sync"."dead_letters" USING btree ("integration","entity","channel","error_code",coalesce(field_path, '')) WHERE state = 'open' AND inbox_id IS NULL AND external_id IS NULL;--> statement-breakpoint
CREATE INDEX "dead_letters_state" ON "sync"."dead_letters" USING btree ("state","integration","id");--> statement-breakpoint
CREATE UNIQUE INDEX "hints_ready" ON "sync"."hints" USING btree ("integration","entity","external_id") WHERE state = 'ready';--> statement-breakpoint
CREATE INDEX "hints_due" ON "sync"."hints" USING btree ("run_at") WHERE state = 'ready';--> statement-breakpoint
CREATE INDEX "hints_leased" ON "sync"."hints" USING btree ("lease_expires_at") WHERE state = 'leased';--> statement-breakpoint
CREATE INDEX "hints_run" ON "sync"."hints" USING btree ("run_id") WHERE run_id IS NOT NULL;--> statement-breakpoint
CREATE INDEX "hints_record" ON "sync"."hints" USING btree ("integration","entity","external_id");--> statement-breakpoint
CREATE UNIQUE INDEX "inbox_deliveries_dedupe" ON "sync"."inbox_deliveries" USING btree ("integration","dedupe_key") WHERE dedupe_key IS NOT NULL;--> statement-breakpoint
CREATE INDEX "inbox_deliveries_due" ON "sync"."inbox_deliveries" USING btree ("next_attempt_at","id") WHERE state = 'received';--> statement-breakpoint
CREATE INDEX "inbox_deliveries_received_at" ON "sync"."inbox_deliveries" USING btree ("received_at");--> statement-breakpoint
CREATE INDEX "inbox_deliveries_payload" ON "sync"."inbox_deliveries" USING btree ("received_at") WHERE body IS NOT NULL AND state IN ('applied','skipped');--> statement-breakpoint
CREATE INDEX "record_history_at" ON "sync"."record_history" USING btree ("at");--> statement-breakpoint
CREATE INDEX "record_history_record" ON "sync"."record_history" USING btree ("integration","entity","external_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "record_states_target_key" ON "sync"."record_states" USING btree ("integration","entity","target_key") WHERE status = 'live' AND target_key IS NOT NULL;--> statement-breakpoint
CREATE INDEX "record_states_tombstones" ON "sync"."record_states" USING btree ("buried_at") WHERE buried_at IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "sync_runs_active" ON "sync"."sync_runs" USING btree ("integration","entity") WHERE state IN ('queued','running') AND NOT is_dry_run;--> statement-breakpoint
CREATE INDEX "sync_runs_claimable" ON "sync"."sync_runs" USING btree ("created_at") WHERE state IN ('queued','running');--> statement-breakpoint
CREATE INDEX "sync_runs_stream" ON "sync"."sync_runs" USING btree ("integration","entity","created_at");