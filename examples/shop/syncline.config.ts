import { defineConfig } from 'syncline';
import { shop } from './shop.ts';

export default defineConfig({ integrations: [shop], migrations: './drizzle' });
