import { formatInstant, type ParsedWrite, type Random, type SourceClock, type WriteRules } from 'syncline/testing';
import { z } from 'zod';
import type { Customer, Order, Unstamped } from './records.ts';

const MAX_TEXT = 500;
const MAX_TAGS = 50;
const ID_LENGTH = 14;

const text = z.string().max(MAX_TEXT);
/** Amounts come as people's spreadsheets give them: the shop rounds to whole cents. */
const cents = z.number().refine(Number.isFinite).transform(Math.round).pipe(z.int());

/** What the shop makes of the fields of a customer: names trimmed, addresses of mail trimmed and in lower case. */
const customerFields = z.object({
  name: text.trim().min(1),
  email: text
    .trim()
    .toLowerCase()
    .regex(/^\S+@\S+$/, { error: 'an address such as ada@example.com' }),
  status: z.enum(['active', 'inactive', 'trial']),
  amount_cents: cents,
  metadata: z.object({ tags: z.array(text.trim().min(1)).max(MAX_TAGS) }),
  address: z.object({ line1: text.trim().min(1), line2: text.trim().nullable() }),
  note: text.nullable(),
});
const newCustomer = customerFields.extend({
  status: customerFields.shape.status.default('trial'),
  amount_cents: cents.default(0),
  metadata: customerFields.shape.metadata.default({ tags: [] }),
  address: customerFields.shape.address.default({ line1: 'unknown', line2: null }),
  note: customerFields.shape.note.default(null),
});

/** Fields that the body does not name stay as they are, within an object too. What the shop sets itself is passed over. */
export const customerWrites = (random: Random): WriteRules<Customer, Unstamped<Customer>> => ({
  create: (body) => parse(newCustomer, body, (fields) => ({ ...fields, id: `cus_${random.text(ID_LENGTH)}` })),
  update: (body, customer) =>
    parse(
      customerFields.partial().extend({ address: customerFields.shape.address.partial().optional() }),
      body,
      (fields) => ({
        ...customer,
        ...given(fields),
        address: { ...customer.address, ...given(fields.address ?? {}) },
      }),
    ),
  canDelete: true,
});

const orderFields = z.object({
  status: z.enum(['open', 'paid', 'shipped', 'cancelled']),
  total_cents: cents.pipe(z.int().min(0)),
  items: z.array(z.object({ sku: text.min(1), quantity: z.int().min(1) })).min(1),
});

/** Orders come from the shop's own till: the API changes them, and neither makes nor deletes any. One that ships gets its time. */
export const orderWrites = (clock: SourceClock): WriteRules<Order, Unstamped<Order>> => ({
  create: null,
  update: (body, order) =>
    parse(orderFields.partial(), body, (fields) => {
      const status = fields.status ?? order.status;
      const shippedAt = status !== 'shipped' ? null : (order.shipped_at ?? formatInstant(clock.tick()));
      return { ...order, ...given(fields), shipped_at: shippedAt };
    }),
  canDelete: false,
});

function parse<Fields, Draft>(
  schema: z.ZodType<Fields>,
  body: unknown,
  draftOf: (fields: Fields) => Draft,
): ParsedWrite<Draft> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return { ok: true, draft: draftOf(parsed.data) };
  return {
    ok: false,
    problems: parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), expected: message })),
  };
}

/** Without the keys that hold undefined: what a body does not name is not changed. */
const given = <Fields extends object>(fields: Fields): { [Key in keyof Fields]: Exclude<Fields[Key], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
