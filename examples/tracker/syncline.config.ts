import { defineConfig } from 'syncline';
import { tracker } from './tracker.ts';

export default defineConfig({ integrations: [tracker], migrations: './drizzle' });
