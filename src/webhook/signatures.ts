import { z } from 'zod';
import type { Setting } from '../lib/setting.ts';
import { settingSchema } from '../lib/setting-schema.ts';
import { type Handshake, handshakeSchema, handshakes } from './handshake.ts';
import { inBody, inEvent, inHeader, type Locator } from './locator.ts';
import { type SignatureScheme, signatureSchemeSchema } from './scheme.ts';

/** How requests are proved, and with what. The secrets are looked up at start, never before. */
export type SignatureDefinition = {
  readonly scheme: SignatureScheme;
  /** Every secret that is live: one that matches is enough, so that a rotation loses nothing. */
  readonly secrets: readonly Setting[];
  /** What this provider asks of an address before it sends there. */
  readonly handshakes?: readonly Handshake[] | undefined;
};

const MAX_SECRETS = 10;

export const signatureDefinitionSchema = z.strictObject({
  scheme: signatureSchemeSchema,
  secrets: z.array(settingSchema).min(1, { error: 'expected at least one secret' }).max(MAX_SECRETS).readonly(),
  handshakes: z.array(handshakeSchema).readonly().optional(),
});

type Secrets = { readonly secrets: readonly Setting[] };

export type HmacOptions = Secrets & {
  /** Where the signature comes. */
  readonly header: string;
  /** Text in front of it, such as `sha256=`. */
  readonly prefix?: string;
  readonly algorithm?: 'sha1' | 'sha256' | 'sha384' | 'sha512';
  readonly encoding?: 'hex' | 'base64' | 'base64url';
  /** What is signed; the body alone unless said. */
  readonly template?: string;
  /** Header with the time of sending, when there is one; write `{ts}` into the template where it is signed. */
  readonly timestamp?: {
    readonly header: string;
    readonly unit: 's' | 'ms' | 'iso8601';
    readonly pastToleranceS?: number;
    readonly futureToleranceS?: number;
  };
  readonly secretEncoding?: 'utf8' | 'base64' | 'hex';
  readonly deliveryId?: Locator;
  readonly eventType?: readonly Locator[];
};

/** Ready signature schemes. Facts of each provider's own documentation or library; see `docs/integrations.md`. */
export const signatures = {
  /**
   * Standard Webhooks, and Svix under its own header names. The keys are base64 after `whsec_`. Signatures of other
   * versions (`v1a`, asymmetric) are passed over.
   */
  standardWebhooks: ({ secrets }: Secrets): SignatureDefinition => ({
    secrets,
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: {
        headers: ['webhook-signature', 'svix-signature'],
        format: { kind: 'list', separator: ' ', prefix: 'v1,' },
      },
      template: '{id}.{ts}.{body}',
      timestamp: { at: inHeader('webhook-timestamp', 'svix-timestamp'), unit: 's' },
      secret: { encoding: 'base64', stripPrefix: 'whsec_' },
      deliveryId: inHeader('webhook-id', 'svix-id'),
      eventType: [inEvent('type')],
    },
  }),

  /** Stripe. The key is the whole `whsec_…` text, not decoded. */
  stripe: ({ secrets }: Secrets): SignatureDefinition => ({
    secrets,
    scheme: {
      mac: 'hmac',
      signature: { headers: ['stripe-signature'], format: { kind: 'key-value', separator: ',', key: 'v1' } },
      template: '{ts}.{body}',
      timestamp: { at: { from: 'key', key: 't' }, unit: 's' },
      deliveryId: inBody('id'),
      eventType: [inEvent('type')],
    },
  }),

  /** GitHub. Neither the delivery's id nor the event's name is signed; the type is `issues.opened`, or `push` without action. */
  github: ({ secrets }: Secrets): SignatureDefinition => ({
    secrets,
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-hub-signature-256'], format: { kind: 'prefix', prefix: 'sha256=' } },
      deliveryId: inHeader('x-github-delivery'),
      eventType: [inHeader('x-github-event'), inEvent('action')],
    },
  }),

  /** Shopify, both of its header families. Nothing but the body is signed, and no time. */
  shopify: ({ secrets }: Secrets): SignatureDefinition => ({
    secrets,
    scheme: {
      mac: 'hmac',
      encoding: 'base64',
      signature: { headers: ['x-shopify-hmac-sha256', 'shopify-hmac-sha256'] },
      deliveryId: inHeader('x-shopify-webhook-id', 'shopify-webhook-id'),
      eventType: [inHeader('x-shopify-topic', 'shopify-topic')],
    },
  }),

  /** Slack's Events API, with its `url_verification` handshake. */
  slack: ({ secrets }: Secrets): SignatureDefinition => ({
    secrets,
    scheme: {
      mac: 'hmac',
      signature: { headers: ['x-slack-signature'], format: { kind: 'prefix', prefix: 'v0=' } },
      template: 'v0:{ts}:{body}',
      timestamp: { at: inHeader('x-slack-request-timestamp'), unit: 's' },
      deliveryId: inBody('event_id'),
      eventType: [inEvent('event.type')],
    },
    handshakes: [handshakes.slack()],
  }),

  /** A digest in one header, as most providers send it. */
  hmac: (options: HmacOptions): SignatureDefinition => {
    const { header, prefix, timestamp } = options;
    return {
      secrets: options.secrets,
      scheme: {
        mac: 'hmac',
        algorithm: options.algorithm,
        encoding: options.encoding,
        signature: { headers: [header], format: prefix === undefined ? { kind: 'bare' } : { kind: 'prefix', prefix } },
        template: options.template,
        timestamp:
          timestamp === undefined
            ? undefined
            : {
                at: inHeader(timestamp.header),
                unit: timestamp.unit,
                pastToleranceS: timestamp.pastToleranceS,
                futureToleranceS: timestamp.futureToleranceS,
              },
        secret: options.secretEncoding === undefined ? undefined : { encoding: options.secretEncoding },
        deliveryId: options.deliveryId,
        eventType: options.eventType,
      },
    };
  },

  /** Any scheme that the parameters of `SignatureScheme` can say. */
  custom: (scheme: SignatureScheme, { secrets }: Secrets): SignatureDefinition => ({ scheme, secrets }),
};
