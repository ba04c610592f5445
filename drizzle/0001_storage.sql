-- What drizzle-kit cannot say: how the tables are stored. Nothing here changes what they mean.

-- A run's list of seen ids costs no log. A crash of the server empties it, which the run notices (see `run_pages` in schema.ts).
ALTER TABLE "sync"."run_pages" SET UNLOGGED;
--> statement-breakpoint
-- lz4 packs a delivery several times faster than pglz. Not every build of PostgreSQL has it, the embedded one for instance.
DO $$
BEGIN
  ALTER TABLE "sync"."inbox_deliveries" ALTER COLUMN "body" SET COMPRESSION lz4;
  ALTER TABLE "sync"."dead_letters" ALTER COLUMN "record" SET COMPRESSION lz4;
  ALTER TABLE "sync"."record_states" ALTER COLUMN "base" SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
  NULL;
END $$;
--> statement-breakpoint
-- Room in each page, so that an update stays there and touches no index (HOT). The small tables are updated without end.
ALTER TABLE "sync"."record_states" SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
--> statement-breakpoint
ALTER TABLE "sync"."sync_runs" SET (fillfactor = 70);
--> statement-breakpoint
ALTER TABLE "sync"."sync_status" SET (fillfactor = 50);
--> statement-breakpoint
ALTER TABLE "sync"."streams" SET (fillfactor = 50);
--> statement-breakpoint
ALTER TABLE "sync"."leases" SET (fillfactor = 50);
--> statement-breakpoint
-- Queues: almost every row dies young. Vacuum by a fixed count, not by a share of whatever has piled up.
ALTER TABLE "sync"."hints" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000);
--> statement-breakpoint
ALTER TABLE "sync"."inbox_deliveries" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 5000);
