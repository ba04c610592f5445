import { createHash } from 'node:crypto';
import type { ParsedBody } from './body.ts';
import { prepareEventType } from './event-type.ts';
import type { Headers } from './headers.ts';
import { type Locator, locatorSchema, prepareLocator, type TextReader, type TextSource } from './locator.ts';
import { isCovered, type SignatureScheme, signatureSchemeSchema } from './scheme.ts';

export const MAX_DELIVERY_ID_LENGTH = 256;
/** No blanks: two headers of one name would become one id. */
const DELIVERY_ID = /^[\x21-\x7e]+$/;

export type DeliveryRequest = {
  readonly headers: Headers;
  readonly rawBody: Uint8Array;
  /** Called only where the id or the type stands in the body. */
  readonly readBody: () => ParsedBody;
};

export type Delivery = {
  /** The provider's id; null when it sent none, or one that is too long or not printable. */
  readonly deliveryId: string | null;
  /** What tells a repeat: never a body's hash alone, since two equal bodies can be two events. Null: nothing does. */
  readonly dedupeKey: string | null;
};

export type DeliveryForm = {
  readonly scheme: SignatureScheme;
  /** Instead of the scheme's own. */
  readonly deliveryId?: Locator | undefined;
  readonly eventType?: readonly Locator[] | undefined;
  /** Where the deliveries are batches, an event's own fields are no part of the delivery. */
  readonly isBatch: boolean;
};

export type DeliveryReader = {
  /** The delivery's id and what to compare with earlier ones. */
  readDelivery(request: DeliveryRequest): Delivery;
  /** The type of the delivery's event, for logs and counts; null when it has none, or one for each event of a batch. */
  readEventType(request: DeliveryRequest): string | null;
};

/** Prepares the reading of a delivery. Nothing here throws on what a request holds. */
export function prepareDeliveryReader(form: DeliveryForm): DeliveryReader {
  const scheme = signatureSchemeSchema.parse(form.scheme);
  const locator = form.deliveryId === undefined ? scheme.deliveryId : locatorSchema.parse(form.deliveryId);
  const readId: TextReader = locator === undefined ? () => null : prepareLocator(locator);
  const isIdCovered = locator !== undefined && isCovered(scheme, locator);
  const readType = prepareEventType(form.eventType?.map((part) => locatorSchema.parse(part)) ?? scheme.eventType);
  return {
    readDelivery(request) {
      const id = readId(sourceOf(request, form.isBatch));
      const deliveryId = id !== null && id.length <= MAX_DELIVERY_ID_LENGTH && DELIVERY_ID.test(id) ? id : null;
      return { deliveryId, dedupeKey: dedupeKey(deliveryId, isIdCovered, request.rawBody) };
    },
    readEventType: (request) => readType(sourceOf(request, form.isBatch)),
  };
}

/**
 * What makes two deliveries one. An id that the signature does not cover could be put on another captured body, or the
 * same body sent under a new id; so the body's hash goes with it. Null without an id.
 */
export function dedupeKey(deliveryId: string | null, isIdCovered: boolean, rawBody: Uint8Array): string | null {
  if (deliveryId === null || isIdCovered) return deliveryId;
  return `${deliveryId}:${createHash('sha256').update(rawBody).digest('hex')}`;
}

function sourceOf(request: DeliveryRequest, isBatch: boolean): TextSource {
  const body = () => {
    const parsed = request.readBody();
    return parsed.ok ? parsed.value : undefined;
  };
  return { headers: request.headers, body, event: isBatch ? () => undefined : body };
}
