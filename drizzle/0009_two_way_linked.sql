ALTER TABLE "sync"."sync_runs" ADD COLUMN "linked" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "sync"."sync_runs" ADD COLUMN "unmatched" integer DEFAULT 0 NOT NULL;