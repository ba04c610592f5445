CREATE TABLE "github_issues" (
	"number" integer PRIMARY KEY NOT NULL,
	"github_id" bigint NOT NULL,
	"title" text NOT NULL,
	"body" text,
	"state" text NOT NULL,
	"state_reason" text,
	"author" text,
	"assignees" jsonb NOT NULL,
	"labels" jsonb NOT NULL,
	"milestone" text,
	"is_locked" boolean NOT NULL,
	"comments" integer NOT NULL,
	"url" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	"closed_at" timestamp with time zone,
	"synced_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "github_labels" (
	"name" text PRIMARY KEY NOT NULL,
	"github_id" bigint NOT NULL,
	"color" text NOT NULL,
	"description" text,
	"is_default" boolean NOT NULL,
	"synced_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "github_pull_requests" (
	"number" integer PRIMARY KEY NOT NULL,
	"github_id" bigint NOT NULL,
	"title" text NOT NULL,
	"body" text,
	"state" text NOT NULL,
	"is_draft" boolean NOT NULL,
	"author" text,
	"assignees" jsonb NOT NULL,
	"reviewers" jsonb NOT NULL,
	"labels" jsonb NOT NULL,
	"milestone" text,
	"is_locked" boolean NOT NULL,
	"base_branch" text NOT NULL,
	"head_branch" text NOT NULL,
	"head_sha" text NOT NULL,
	"url" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	"closed_at" timestamp with time zone,
	"merged_at" timestamp with time zone,
	"synced_at" timestamp with time zone NOT NULL
);
