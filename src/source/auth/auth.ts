import { z } from 'zod';
import { type ApiKeyDefinition, apiKeySchema } from './api-key.ts';
import { type BasicDefinition, basicSchema } from './basic.ts';
import { type BearerDefinition, bearerSchema } from './bearer.ts';
import { type HmacDefinition, hmacSchema } from './hmac.ts';
import { type JwtDefinition, jwtSchema } from './jwt.ts';
import { type LoginDefinition, loginSchema } from './login.ts';
import { type OAuth2Definition, oauth2Schema } from './oauth2.ts';

/** How a source knows us. Each kind is a file of this folder. */
export type AuthDefinition =
  | BearerDefinition
  | ApiKeyDefinition
  | BasicDefinition
  | HmacDefinition
  | JwtDefinition
  | LoginDefinition
  | OAuth2Definition;

export const authSchema = z.discriminatedUnion('kind', [
  bearerSchema,
  apiKeySchema,
  basicSchema,
  hmacSchema,
  jwtSchema,
  loginSchema,
  oauth2Schema,
]);
