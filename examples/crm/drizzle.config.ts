import { defineConfig } from 'drizzle-kit';

/** From the package's root: `npx drizzle-kit generate --config examples/crm/drizzle.config.ts` after a change of schema.ts. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './examples/crm/schema.ts',
  out: './examples/crm/drizzle',
});
