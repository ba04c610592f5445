import { defineConfig } from 'drizzle-kit';

/** From the package's root: `npx drizzle-kit generate --config examples/tracker/drizzle.config.ts` after a change of schema.ts. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './examples/tracker/schema.ts',
  out: './examples/tracker/drizzle',
});
