import { defineConfig } from 'syncline';
import { crm } from './crm.ts';

export default defineConfig({ integrations: [crm], migrations: './drizzle' });
