import { defineConfig } from 'syncline';
import { github } from './github.ts';

export default defineConfig({
  integrations: [github(process.env.GITHUB_REPOSITORY)],
  migrations: './drizzle',
});
