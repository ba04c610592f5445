CREATE TABLE "crm_contacts" (
	"external_id" text PRIMARY KEY NOT NULL,
	"email" text,
	"full_name" text NOT NULL,
	"company" text,
	"is_subscribed" boolean NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	"synced_at" timestamp with time zone NOT NULL
);
