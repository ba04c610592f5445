import { z } from 'zod';
import { pathSchema } from '../lib/path-schema.ts';
import { isPattern } from './event-pattern.ts';
import { ANY_TYPE } from './event-type.ts';
import { handshakeSchema } from './handshake.ts';
import { locatorSchema } from './locator.ts';
import { signatureDefinitionSchema } from './signatures.ts';

export const DEFAULT_MAX_BODY_BYTES = 1_048_576;
/** The largest that a provider sends (GitHub). */
const BODY_BYTES_LIMIT = 26_214_400;
const MAX_ROUTES_PER_TYPE = 20;

const scalarSchema = z.union([z.string(), z.number(), z.boolean(), z.null()]);

export const eventRouteSchema = z
  .strictObject({
    /** Name of the entity that the event is about. */
    entity: z.string().min(1),
    /** Dot path to the record in the event; empty text is the whole event. */
    record: pathSchema,
    /** The event says that the record is gone: always, or when the value at `path` in the event is one of `equals`. */
    deletes: z
      .union([
        z.boolean(),
        z.strictObject({ path: pathSchema, equals: z.union([scalarSchema, z.array(scalarSchema).min(1)]) }),
      ])
      .default(false),
    /** `full`: the whole record. `partial`: only some of its fields. `id`: nothing but its id, so that it must be read. */
    payload: z.enum(['full', 'partial', 'id']).default('full'),
    /** For `payload: 'id'`: dot path to the id in the event, when it is not what `record` points at. */
    id: pathSchema.optional(),
    /** Dot path in the event to the version that a partial payload was made from. */
    previousVersion: pathSchema.optional(),
    /** Dot path in the event to the record's version, where the event has it beside the record. */
    version: pathSchema.optional(),
  })
  .refine((route) => route.id === undefined || route.payload === 'id', {
    path: ['id'],
    error: "expected only with payload: 'id'",
  });

/** What an event type means to us. */
export type EventRoute = z.input<typeof eventRouteSchema>;
export type CheckedRoute = z.output<typeof eventRouteSchema>;

/** Not a union: its message would not say which field of the route is wrong. */
const routesSchema = z.preprocess(
  (routes) => (Array.isArray(routes) ? routes : [routes]),
  z.array(eventRouteSchema).min(1).max(MAX_ROUTES_PER_TYPE),
);

const patternSchema = z.string().refine(isPattern, {
  error: 'expected an event type, or a pattern with * for a whole segment or at the end',
});

/** How an integration takes webhooks: who may send, which events count, and where their records stand. */
export const webhookDefinitionSchema = z
  .strictObject({
    signature: signatureDefinitionSchema,
    /** By event type: exact, `*` for one segment between dots, `*` at the end for the rest. */
    events: z.record(patternSchema, routesSchema),
    /** Dot path to the list of events in the body; `''` or `'$'` when the body itself is the list. Left out: one event. */
    batch: z.union([z.literal('$').transform(() => ''), pathSchema]).optional(),
    /** Instead of what the signature scheme says. */
    eventType: z.array(locatorSchema).readonly().optional(),
    deliveryId: locatorSchema.optional(),
    /** Beside those of the signature scheme. */
    handshakes: z.array(handshakeSchema).readonly().default([]),
    /** Larger bodies are refused (413). */
    maxBodyBytes: z.number().int().positive().max(BODY_BYTES_LIMIT).default(DEFAULT_MAX_BODY_BYTES),
  })
  .superRefine((webhook, context) => {
    const parts = webhook.eventType ?? webhook.signature.scheme.eventType;
    if (parts.length > 0) return;
    for (const type of Object.keys(webhook.events)) {
      if (type === ANY_TYPE) continue;
      const message = 'expected only the type *, because nothing says where the event type stands: set eventType';
      context.addIssue({ code: 'custom', path: ['events', type], message });
    }
  });

/** As people write it: what has a default may be left out. */
export type WebhookDefinition = Omit<z.input<typeof webhookDefinitionSchema>, 'events'> & {
  readonly events: { readonly [type: string]: EventRoute | readonly EventRoute[] };
};
/** With every default filled in. */
export type CheckedWebhook = z.output<typeof webhookDefinitionSchema>;
