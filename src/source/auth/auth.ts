import { z } from 'zod';
import { type ApiKeyDefinition, apiKeySchema } from './api-key.ts';
import { type BearerDefinition, bearerSchema } from './bearer.ts';

/** How a source knows us. Each kind is a file of this folder. */
export type AuthDefinition = BearerDefinition | ApiKeyDefinition;

export const authSchema = z.discriminatedUnion('kind', [bearerSchema, apiKeySchema]);
