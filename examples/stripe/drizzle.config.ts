import { defineConfig } from 'drizzle-kit';

/** From the package's root: `npx drizzle-kit generate --config examples/stripe/drizzle.config.ts` after a change of schema.ts. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './examples/stripe/schema.ts',
  out: './examples/stripe/drizzle',
});
