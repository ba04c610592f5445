import { defineConfig } from 'syncline';
import { stripe } from './stripe.ts';

export default defineConfig({ integrations: [stripe], migrations: './drizzle' });
