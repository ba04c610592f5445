import { defineConfig } from 'drizzle-kit';

/** From the package's root: `npx drizzle-kit generate --config examples/github/drizzle.config.ts` after a change of schema.ts. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './examples/github/schema.ts',
  out: './examples/github/drizzle',
});
