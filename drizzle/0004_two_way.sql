CREATE TABLE "sync"."change_tokens" (
	"id" uuid PRIMARY KEY NOT NULL,
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"external_id" text,
	"target_key" text NOT NULL,
	"state" text NOT NULL,
	"pre_hash" "bytea",
	"field_hashes" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"result_hash" "bytea",
	"result_version" numeric,
	"result_etag" text,
	"echo" jsonb,
	"seen_count" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"expires_at" timestamp (6) with time zone,
	CONSTRAINT "change_tokens_state" CHECK (state IN ('pending','confirmed','rejected')),
	CONSTRAINT "change_tokens_expiry" CHECK ((state = 'pending') = (expires_at IS NULL))
);
--> statement-breakpoint
CREATE TABLE "sync"."conflicts" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"external_id" text,
	"target_key" text NOT NULL,
	"kind" text NOT NULL,
	"fields" text[] NOT NULL,
	"base" jsonb,
	"local" jsonb,
	"remote" jsonb,
	"remote_version" numeric,
	"policy" text NOT NULL,
	"outcome" text,
	"created_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"resolved_at" timestamp (6) with time zone,
	"resolved_by" text,
	CONSTRAINT "conflicts_kind" CHECK (kind IN ('both_changed','deleted_at_source','deleted_here','adopted','created_and_deleted')),
	CONSTRAINT "conflicts_policy" CHECK (policy IN ('source_wins','target_wins','newest_wins','manual')),
	CONSTRAINT "conflicts_outcome" CHECK (outcome IN ('local','remote','superseded')),
	CONSTRAINT "conflicts_resolved" CHECK ((outcome IS NULL) = (resolved_at IS NULL))
);
--> statement-breakpoint
CREATE TABLE "sync"."local_changes" (
	"id" bigserial NOT NULL,
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"target_key" text NOT NULL,
	"op" text NOT NULL,
	"at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "local_changes_pkey" PRIMARY KEY("integration","entity","id"),
	CONSTRAINT "local_changes_op" CHECK (op IN ('I','U','D','T'))
);
--> statement-breakpoint
CREATE TABLE "sync"."outbox_pushes" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"op" text DEFAULT 'update' NOT NULL,
	"external_id" text,
	"target_key" text NOT NULL,
	"state" text DEFAULT 'ready' NOT NULL,
	"edits" integer DEFAULT 1 NOT NULL,
	"snapshot" jsonb,
	"patch" jsonb,
	"request" text,
	"if_match" text,
	"pre_version" numeric,
	"token_id" uuid,
	"first_call_at" timestamp (6) with time zone,
	"deadline" timestamp (6) with time zone,
	"run_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"edited_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"created_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	"finished_at" timestamp (6) with time zone,
	"attempt" integer DEFAULT 0 NOT NULL,
	"lease_token" uuid,
	"lease_expires_at" timestamp (6) with time zone,
	"park_reason" text,
	"error_code" text,
	"error" text,
	CONSTRAINT "outbox_pushes_op" CHECK (op IN ('create','update','delete')),
	CONSTRAINT "outbox_pushes_state" CHECK (state IN ('ready','calling','unknown','parked','done')),
	CONSTRAINT "outbox_pushes_lease" CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
	CONSTRAINT "outbox_pushes_calling" CHECK (state <> 'calling' OR (lease_token IS NOT NULL AND request IS NOT NULL)),
	CONSTRAINT "outbox_pushes_parked_why" CHECK ((state = 'parked') = (park_reason IS NOT NULL)),
	CONSTRAINT "outbox_pushes_park_reason" CHECK (park_reason IN ('refused','create_unknown','loop_suspected','mass_delete','unmappable','cannot_settle')),
	CONSTRAINT "outbox_pushes_done" CHECK ((state = 'done') = (finished_at IS NOT NULL))
);
--> statement-breakpoint
ALTER TABLE "sync"."record_history" DROP CONSTRAINT "record_history_decision";--> statement-breakpoint
ALTER TABLE "sync"."record_states" ADD COLUMN "shadow" jsonb;--> statement-breakpoint
ALTER TABLE "sync"."record_states" ADD COLUMN "local_version" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "sync"."source_states" ADD COLUMN "blocked_until" timestamp (6) with time zone;--> statement-breakpoint
ALTER TABLE "sync"."streams" ADD COLUMN "held_deletes" text;--> statement-breakpoint
CREATE INDEX "change_tokens_record" ON "sync"."change_tokens" USING btree ("integration","entity","external_id","created_at");--> statement-breakpoint
CREATE INDEX "change_tokens_expires_at" ON "sync"."change_tokens" USING btree ("expires_at") WHERE state <> 'pending';--> statement-breakpoint
CREATE UNIQUE INDEX "conflicts_open" ON "sync"."conflicts" USING btree ("integration","entity","target_key") WHERE outcome IS NULL;--> statement-breakpoint
CREATE INDEX "conflicts_created_at" ON "sync"."conflicts" USING btree ("created_at");--> statement-breakpoint
CREATE UNIQUE INDEX "outbox_pushes_ready" ON "sync"."outbox_pushes" USING btree ("integration","entity","target_key") WHERE state = 'ready';--> statement-breakpoint
CREATE UNIQUE INDEX "outbox_pushes_single_flight" ON "sync"."outbox_pushes" USING btree ("integration","entity","target_key") WHERE state IN ('calling','unknown');--> statement-breakpoint
CREATE INDEX "outbox_pushes_due" ON "sync"."outbox_pushes" USING btree ("integration","entity","run_at") WHERE state = 'ready';--> statement-breakpoint
CREATE INDEX "outbox_pushes_flights" ON "sync"."outbox_pushes" USING btree ("integration","entity","external_id") WHERE state IN ('calling','unknown');--> statement-breakpoint
CREATE INDEX "outbox_pushes_parked" ON "sync"."outbox_pushes" USING btree ("integration","entity","id") WHERE state = 'parked';--> statement-breakpoint
CREATE INDEX "outbox_pushes_calls" ON "sync"."outbox_pushes" USING btree ("integration","entity","target_key","first_call_at");--> statement-breakpoint
CREATE INDEX "outbox_pushes_finished" ON "sync"."outbox_pushes" USING btree ("finished_at") WHERE state = 'done';--> statement-breakpoint
ALTER TABLE "sync"."record_history" ADD CONSTRAINT "record_history_decision" CHECK (decision IN ('insert','update','delete','stale','verify','defer','quarantine','regression','repair','push','conflict'));