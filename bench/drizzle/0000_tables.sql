CREATE TABLE "bench_customers" (
	"external_id" text PRIMARY KEY NOT NULL,
	"email" text NOT NULL,
	"name" text NOT NULL,
	"phone" text,
	"description" text,
	"amount" numeric(12, 2) NOT NULL,
	"orders" integer NOT NULL,
	"status" text NOT NULL,
	"is_active" boolean NOT NULL,
	"city" text,
	"tags" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	"synced_at" timestamp with time zone NOT NULL
);
