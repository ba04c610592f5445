CREATE TABLE "sync"."credentials" (
	"integration" text PRIMARY KEY NOT NULL,
	"sealed" "bytea",
	"generation" bigint DEFAULT 0 NOT NULL,
	"lease_token" uuid,
	"lease_expires_at" timestamp (6) with time zone,
	"used_generation" bigint,
	"updated_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "credentials_lease" CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL))
);
--> statement-breakpoint
CREATE TABLE "sync"."oauth_flows" (
	"state_hash" "bytea" PRIMARY KEY NOT NULL,
	"integration" text NOT NULL,
	"sealed" "bytea" NOT NULL,
	"expires_at" timestamp (6) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sync"."source_states" (
	"integration" text PRIMARY KEY NOT NULL,
	"limits" jsonb,
	"breaker" text DEFAULT 'closed' NOT NULL,
	"breaker_at" timestamp (6) with time zone,
	"breaker_reason" text,
	"paused" text,
	"paused_detail" text,
	"paused_at" timestamp (6) with time zone,
	CONSTRAINT "source_states_breaker" CHECK (breaker IN ('closed','open','half_open')),
	CONSTRAINT "source_states_paused" CHECK (paused IN ('auth','operator')),
	CONSTRAINT "source_states_paused_at" CHECK ((paused IS NULL) = (paused_at IS NULL))
);
--> statement-breakpoint
ALTER TABLE "sync"."sync_runs" ADD COLUMN "resume_at" timestamp (6) with time zone;--> statement-breakpoint
ALTER TABLE "sync"."sync_runs" ADD COLUMN "stalls" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "oauth_flows_expires_at" ON "sync"."oauth_flows" USING btree ("expires_at");