import { z } from 'zod';
import { pathSchema } from '../lib/path-schema.ts';
import { headerNameSchema, headerNamesSchema } from './headers.ts';
import { type Locator, locatorSchema } from './locator.ts';
import { parseTemplate, TEMPLATE_SYNTAX, type Token } from './template.ts';

export const DEFAULT_TOLERANCE_S = 300;
const MAX_TOLERANCE_S = 7 * 24 * 3_600;
const MAX_EVENT_TYPE_PARTS = 4;

/**
 * How the header that carries the signature is written.
 * - `bare`: nothing but the signature.
 * - `prefix`: a fixed text, then the signature (`sha256=…`).
 * - `list`: entries apart by `separator`, each with `prefix`; others (of another version) are passed over (`v1,… v1,…`).
 * - `key-value`: pairs `key=value` apart by any character of `separator`; blanks around them do not count and a key may
 *   come several times (`t=…,v1=…,v1=…`).
 */
const formatSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('bare') }),
  z.strictObject({ kind: z.literal('prefix'), prefix: z.string().min(1).max(50) }),
  z.strictObject({
    kind: z.literal('list'),
    separator: z.string().min(1).max(4),
    prefix: z.string().max(50).default(''),
  }),
  z.strictObject({
    kind: z.literal('key-value'),
    separator: z.string().regex(/^[^=]{1,4}$/, { error: 'expected one to four characters, none of them =' }),
    key: z.string().min(1).max(50),
  }),
]);

const signatureHeaderSchema = z.strictObject({
  /** Tried in order: the first that is present counts, with every value it has. */
  headers: headerNamesSchema,
  /** The headers are numbered: each name stands for `name-1`, `name-2` … and every one of them counts (DocuSign). */
  isNumbered: z.boolean().default(false),
  format: formatSchema.default({ kind: 'bare' }),
});

const toleranceSchema = z.number().int().min(0).max(MAX_TOLERANCE_S).default(DEFAULT_TOLERANCE_S);

const timestampSchema = z.strictObject({
  /** A header, a key of a key-value signature header, or a dot path in the JSON body. */
  at: z.discriminatedUnion('from', [
    z.strictObject({ from: z.literal('header'), names: headerNamesSchema }),
    z.strictObject({ from: z.literal('key'), key: z.string().min(1).max(50) }),
    z.strictObject({ from: z.literal('body'), path: pathSchema }),
  ]),
  unit: z.enum(['s', 'ms', 'iso8601']),
  /** How old, and how far ahead of our clock, a request may be, in seconds. */
  pastToleranceS: toleranceSchema,
  futureToleranceS: toleranceSchema,
});

const secretFormSchema = z.strictObject({
  /** How the key's bytes are written in the secret. */
  encoding: z.enum(['utf8', 'base64', 'hex']).default('utf8'),
  /** Taken off the front of a secret that has it, before decoding. */
  stripPrefix: z.string().max(20).default(''),
});

const common = {
  /** The provider's own id of a delivery, the same when it is sent again. None: nothing can be told to be a repeat. */
  deliveryId: locatorSchema.optional(),
  /** Parts of the event type, joined by dots. Without the first there is no type; others may be absent. */
  eventType: z.array(locatorSchema).max(MAX_EVENT_TYPE_PARTS).readonly().default([]),
};

const macFields = {
  algorithm: z.enum(['sha1', 'sha256', 'sha384', 'sha512']).default('sha256'),
  /** Of the signature. Hex in either case; base64 with padding; base64url with or without. */
  encoding: z.enum(['hex', 'base64', 'base64url']).default('hex'),
  signature: signatureHeaderSchema,
  /** What is signed, as `TEMPLATE_SYNTAX` says. The body must be in it. */
  template: z.string().max(500).default('{body}'),
  /** Values of `{param:NAME}`. */
  params: z.record(z.string(), z.string()).default({}),
  /** Left out: the provider sends none. Otherwise a request without a readable one is refused. */
  timestamp: timestampSchema.optional(),
  secret: secretFormSchema.default({ encoding: 'utf8', stripPrefix: '' }),
  ...common,
};

const macSchema = z.discriminatedUnion('mac', [
  /** A keyed digest of the template's text. */
  z.strictObject({ mac: z.literal('hmac'), ...macFields }),
  /** A plain digest of the template's text, which must hold `{secret}` (older HubSpot). */
  z.strictObject({ mac: z.literal('hash'), ...macFields }),
]);

const tokenHeaderSchema = z.strictObject({ headers: headerNamesSchema, prefix: z.string().max(50).default('') });

/**
 * How a provider proves that a request is its own, as data. `hmac` and `hash` sign the body; `equals` sends the secret
 * itself in a header and `basic` as `user:password` (HTTP basic authentication), neither of which covers the body.
 */
export const signatureSchemeSchema = z
  .discriminatedUnion('mac', [
    ...macSchema.options,
    z.strictObject({ mac: z.literal('equals'), signature: tokenHeaderSchema, ...common }),
    z.strictObject({
      mac: z.literal('basic'),
      signature: z.strictObject({ headers: z.array(headerNameSchema).min(1).readonly() }).default({
        headers: ['authorization'],
      }),
      ...common,
    }),
  ])
  .superRefine((scheme, context) => {
    if (scheme.mac === 'equals' || scheme.mac === 'basic') return;
    for (const { path, message } of schemeProblems(scheme)) context.addIssue({ code: 'custom', path, message });
  });

/** As people write it: what has a default may be left out. */
export type SignatureScheme = z.input<typeof signatureSchemeSchema>;
/** With every default filled in. */
export type CheckedScheme = z.output<typeof signatureSchemeSchema>;
export type MacScheme = Extract<CheckedScheme, { mac: 'hmac' | 'hash' }>;
export type SignatureHeader = MacScheme['signature'];
export type SignatureFormat = SignatureHeader['format'];
export type TimestampForm = NonNullable<MacScheme['timestamp']>;
export type SecretForm = MacScheme['secret'];

type Problem = { readonly path: string[]; readonly message: string };

function schemeProblems(scheme: MacScheme): readonly Problem[] {
  const tokens = parseTemplate(scheme.template);
  if (tokens === null) return [{ path: ['template'], message: `expected ${TEMPLATE_SYNTAX}` }];
  const problems: Problem[] = [];
  const refuse = (path: string[], message: string) => problems.push({ path, message });
  const has = (kind: Token['kind']) => tokens.some((token) => token.kind === kind);
  const isKeyValue = scheme.signature.format.kind === 'key-value';

  if (!has('body'))
    refuse(['template'], 'expected {body} in it: a signature that does not cover the body proves nothing');
  if (scheme.mac === 'hash' && !has('secret'))
    refuse(['template'], 'expected {secret} in it: anyone can make a plain digest');
  if (has('ts') && scheme.timestamp === undefined) refuse(['timestamp'], 'expected, because the template uses {ts}');
  if (has('id') && scheme.deliveryId?.from !== 'header') {
    refuse(['deliveryId'], 'expected a header, because the template uses {id}');
  }
  if (has('key') && !isKeyValue) refuse(['template'], '{key:NAME} needs a signature header of the format key-value');
  if (scheme.timestamp?.at.from === 'key' && !isKeyValue) {
    refuse(['timestamp', 'at'], 'a key needs a signature header of the format key-value');
  }
  for (const token of tokens) {
    if (token.kind === 'param' && !Object.hasOwn(scheme.params, token.name)) {
      refuse(['params'], `expected ${token.name}, because the template uses it`);
    }
  }
  return problems;
}

/**
 * Whether the signature covers what a locator reads, so that nobody can change it on a captured request. Worked out from
 * the template, so that a definition cannot claim it wrongly.
 */
export function isCovered(scheme: CheckedScheme, locator: Locator): boolean {
  if (scheme.mac === 'equals' || scheme.mac === 'basic') return false;
  if (locator.from !== 'header') return true; // the template holds the body
  const names = locator.names.map((name) => name.toLowerCase());
  const own = scheme.deliveryId;
  const tokens = parseTemplate(scheme.template) ?? [];
  return tokens.some((token) => {
    // Of several names only the first that came is signed: another list of names could read an unsigned one.
    if (token.kind === 'id') return own?.from === 'header' && own.names.join() === names.join();
    return token.kind === 'header' && names.length === 1 && names[0] === token.name;
  });
}

/** Whether the signature covers the timestamp. If not, the tolerance only dampens replays. */
export function isTimestampCovered(scheme: CheckedScheme): boolean {
  if (scheme.mac === 'equals' || scheme.mac === 'basic' || scheme.timestamp === undefined) return false;
  const at = scheme.timestamp.at;
  if (at.from === 'body') return true;
  const tokens = parseTemplate(scheme.template) ?? [];
  if (tokens.some((token) => token.kind === 'ts')) return true;
  if (at.from === 'key') return tokens.some((token) => token.kind === 'key' && token.name === at.key);
  return at.names.length === 1 && tokens.some((token) => token.kind === 'header' && token.name === at.names[0]);
}
