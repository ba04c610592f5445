ALTER TABLE "shop_customers" ALTER COLUMN "external_id" SET DEFAULT 'new_' || gen_random_uuid();--> statement-breakpoint
ALTER TABLE "shop_customers" ALTER COLUMN "status" SET DEFAULT 'enabled';--> statement-breakpoint
ALTER TABLE "shop_customers" ALTER COLUMN "amount" SET DEFAULT '0';--> statement-breakpoint
ALTER TABLE "shop_customers" ALTER COLUMN "tags" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "shop_customers" ALTER COLUMN "created_date" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "shop_customers" ALTER COLUMN "updated_date" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "shop_customers" ALTER COLUMN "sync_source" SET DEFAULT 'shop';--> statement-breakpoint
ALTER TABLE "shop_customers" ALTER COLUMN "last_synced_at" SET DEFAULT now();