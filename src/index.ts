export { defineConfig, defineIntegration, entity } from './define/define.ts';
export type { ConfigDefinition, EntityDefinition, IntegrationDefinition } from './define/definition.ts';
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
export type { Transform, TwoWay } from './mapping/transform.ts';
export { oneOf } from './mapping/transforms/choice.ts';
export { codec, json, jsonText, transform } from './mapping/transforms/custom.ts';
export type { DecimalText } from './mapping/transforms/number.ts';
export { cents, minorUnits, toBigint, toBoolean, toDecimal, toNumber } from './mapping/transforms/number.ts';
export { concat, join, lowercase, toText, trim } from './mapping/transforms/text.ts';
export { epochMs, epochSeconds, isoDate, isoDay, isoUtc } from './mapping/transforms/time.ts';
export { apiKey } from './source/auth/api-key.ts';
export { bearer } from './source/auth/bearer.ts';
export { cursor } from './source/pagination/cursor.ts';
export { linkHeader } from './source/pagination/link-header.ts';
export { none } from './source/pagination/none.ts';
export { handshakes } from './webhook/handshake.ts';
export { inBody, inEvent, inHeader } from './webhook/locator.ts';
export { signatures } from './webhook/signatures.ts';
