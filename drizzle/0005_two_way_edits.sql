CREATE TABLE "sync"."edit_keys" (
	"integration" text NOT NULL,
	"entity" text NOT NULL,
	"key_hash" "bytea" NOT NULL,
	"request_hash" "bytea" NOT NULL,
	"target_key" text NOT NULL,
	"push_id" uuid NOT NULL,
	"created_at" timestamp (6) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "edit_keys_pkey" PRIMARY KEY("integration","entity","key_hash")
);
--> statement-breakpoint
ALTER TABLE "sync"."outbox_pushes" ADD COLUMN "carries" text DEFAULT 'row' NOT NULL;--> statement-breakpoint
CREATE INDEX "edit_keys_created_at" ON "sync"."edit_keys" USING btree ("created_at");--> statement-breakpoint
ALTER TABLE "sync"."outbox_pushes" ADD CONSTRAINT "outbox_pushes_carries" CHECK (carries = 'row' OR (carries = 'request' AND state <> 'ready'));