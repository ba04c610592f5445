DROP INDEX "sync"."hints_due";--> statement-breakpoint
ALTER TABLE "sync"."hints" ADD COLUMN "is_urgent" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "sync"."sync_runs" ADD COLUMN "most_pages" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "sync"."sync_runs" ADD COLUMN "deadline_at" timestamp (6) with time zone;--> statement-breakpoint
CREATE INDEX "hints_due_urgent" ON "sync"."hints" USING btree ("run_at") WHERE state = 'ready' AND is_urgent;--> statement-breakpoint
CREATE INDEX "hints_due_later" ON "sync"."hints" USING btree ("run_at") WHERE state = 'ready' AND NOT is_urgent;--> statement-breakpoint
ALTER TABLE "sync"."sync_runs" ADD CONSTRAINT "sync_runs_resume" CHECK (resume_at IS NULL OR (state = 'running' AND lease_token IS NULL));