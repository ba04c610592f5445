CREATE TABLE "shop_customers" (
	"external_id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"email" text NOT NULL,
	"status" text NOT NULL,
	"amount" numeric(15, 2) NOT NULL,
	"tags" text NOT NULL,
	"street_address" text,
	"note" text,
	"created_date" timestamp with time zone NOT NULL,
	"updated_date" timestamp with time zone NOT NULL,
	"sync_source" text NOT NULL,
	"last_synced_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "shop_orders" (
	"external_id" text PRIMARY KEY NOT NULL,
	"customer_id" text NOT NULL,
	"number" text NOT NULL,
	"status" text NOT NULL,
	"total" numeric(15, 2) NOT NULL,
	"currency" text NOT NULL,
	"items" jsonb NOT NULL,
	"placed_at" timestamp with time zone NOT NULL,
	"shipped_at" timestamp with time zone,
	"updated_date" timestamp with time zone NOT NULL,
	"last_synced_at" timestamp with time zone NOT NULL
);
