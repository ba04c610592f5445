export type { Client, ClientOptions } from './client.ts';
export { ClientSetupError, createClient } from './client.ts';
export { defineConfig, defineIntegration, entity } from './define/define.ts';
export type { ConfigDefinition, EntityDefinition, IntegrationDefinition } from './define/definition.ts';
export type { WriteDefinition } from './define/write.ts';
export { env, secret } from './lib/setting.ts';
export {
  constant,
  deletedAt,
  field,
  fields,
  required,
  syncedAt,
  withDefault,
} from './mapping/field.ts';
export type { IsoDay, IsoInstant } from './mapping/instant-text.ts';
export { lookup } from './mapping/lookup.ts';
export type { Transform, TwoWay } from './mapping/transform.ts';
export { oneOf } from './mapping/transforms/choice.ts';
export { codec, json, jsonText, transform } from './mapping/transforms/custom.ts';
export type { DecimalText } from './mapping/transforms/number.ts';
export { cents, minorUnits, toBigint, toBoolean, toDecimal, toNumber } from './mapping/transforms/number.ts';
export { concat, join, lowercase, toText, trim } from './mapping/transforms/text.ts';
export { epochMs, epochSeconds, isoDate, isoDay, isoUtc } from './mapping/transforms/time.ts';
export { apiKey } from './source/auth/api-key.ts';
export { basic } from './source/auth/basic.ts';
export { bearer } from './source/auth/bearer.ts';
export { hmac } from './source/auth/hmac.ts';
export { jwt } from './source/auth/jwt.ts';
export { login } from './source/auth/login.ts';
export { oauth2 } from './source/auth/oauth2.ts';
export type { BatchResult } from './source/batch.ts';
export { endpoint } from './source/endpoint.ts';
export { SourceError } from './source/error.ts';
export type { FailureRule } from './source/failure/definition.ts';
export { cursor } from './source/pagination/cursor.ts';
export { keyset } from './source/pagination/keyset.ts';
export { linkHeader } from './source/pagination/link-header.ts';
export { nextUrl } from './source/pagination/next-url.ts';
export { none } from './source/pagination/none.ts';
export { offset } from './source/pagination/offset.ts';
export { pageNumber } from './source/pagination/page-number.ts';
export { relay } from './source/pagination/relay.ts';
export { handshakes } from './webhook/handshake.ts';
export { inBody, inEvent, inHeader } from './webhook/locator.ts';
export { signatures } from './webhook/signatures.ts';
