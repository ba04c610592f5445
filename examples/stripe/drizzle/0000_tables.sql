CREATE TABLE "stripe_customers" (
	"external_id" text PRIMARY KEY NOT NULL,
	"email" text,
	"name" text,
	"phone" text,
	"description" text,
	"balance" integer,
	"currency" text,
	"is_delinquent" boolean,
	"metadata" jsonb,
	"created_at" timestamp with time zone NOT NULL,
	"synced_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "stripe_products" (
	"external_id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"is_active" boolean NOT NULL,
	"description" text,
	"default_price_id" text,
	"metadata" jsonb,
	"created_at" timestamp with time zone NOT NULL,
	"synced_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "stripe_subscriptions" (
	"external_id" text PRIMARY KEY NOT NULL,
	"customer_id" text NOT NULL,
	"status" text NOT NULL,
	"price_id" text,
	"quantity" integer,
	"currency" text,
	"cancels_at_period_end" boolean,
	"metadata" jsonb,
	"created_at" timestamp with time zone NOT NULL,
	"started_at" timestamp with time zone,
	"canceled_at" timestamp with time zone,
	"ended_at" timestamp with time zone,
	"synced_at" timestamp with time zone NOT NULL
);
