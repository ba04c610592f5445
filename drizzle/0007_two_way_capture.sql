ALTER TABLE "sync"."local_changes" ADD COLUMN "target_keys" text[] NOT NULL;--> statement-breakpoint
ALTER TABLE "sync"."streams" ADD COLUMN "audited_xid" bigint;--> statement-breakpoint
ALTER TABLE "sync"."local_changes" DROP COLUMN "target_key";--> statement-breakpoint
ALTER TABLE "sync"."local_changes" ADD CONSTRAINT "local_changes_keys" CHECK ((op = 'T') = (cardinality(target_keys) = 0));