CREATE TABLE "tracker_issues" (
	"external_id" text PRIMARY KEY NOT NULL,
	"identifier" text NOT NULL,
	"title" text NOT NULL,
	"state" text NOT NULL,
	"priority" integer NOT NULL,
	"assignee" text,
	"labels" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	"synced_at" timestamp with time zone NOT NULL
);
