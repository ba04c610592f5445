import { defineConfig } from 'drizzle-kit';

/** From the package's root: `npx drizzle-kit generate --config examples/shop/drizzle.config.ts` after a change of schema.ts. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './examples/shop/schema.ts',
  out: './examples/shop/drizzle',
});
