import { createHash, createHmac } from 'node:crypto';

/** Shared by the server's configuration and those who sign. No secret: everything here is made up and stays on this machine. */
export const WEBHOOK_SECRET = 'bench-secret-of-this-machine-only';
export const INTEGRATION = 'bench';
export const ENTITY = 'customers';

const CREATED_AT_MS = Date.UTC(2024, 0, 1);
const WORDS = 'account order invoice refund shipment contact renewal discount balance receipt account order'.split(' ');

/** A record of about 600 bytes as JSON. The same `id` and `revision` give the same record. */
export function makeRecord(id: number, revision: number, updatedAtMs: number) {
  const digest = createHash('sha1').update(`${id}.${revision}`).digest('hex');
  const words = [...digest.slice(0, 24)].map((digit) => WORDS[Number.parseInt(digit, 16) % WORDS.length]);
  return {
    id: recordId(id),
    object: 'customer',
    email: `Customer.${id}@Example.com`,
    name: `Customer ${digest.slice(0, 8)}`,
    phone: `+49 30 ${String(id).padStart(9, '0')}`,
    description: words.join(' '),
    amount_cents: (id * 7919 + revision * 131) % 10_000_000,
    orders: revision,
    status: id % 3 === 0 ? 'inactive' : 'active',
    active: id % 3 !== 0,
    address: { city: `City ${id % 500}`, line1: `${id % 90} Long Road`, postal_code: digest.slice(8, 13) },
    tags: [words[0], words[1]],
    created_at: new Date(CREATED_AT_MS + id * 1000).toISOString(),
    updated_at: new Date(updatedAtMs).toISOString(),
  };
}

export const recordId = (id: number): string => `cus_${String(id).padStart(10, '0')}`;

/** When records that nobody has changed were last updated: long ago, as most of a source is. */
export const QUIET_SINCE_MS = Date.UTC(2025, 0, 1);

/** A delivery's exact body, padded to about `bytes` with what else providers send along: text that packs as such text does. */
export function makeBody(record: ReturnType<typeof makeRecord>, deliveryId: string, bytes: number): Buffer {
  const body = { id: deliveryId, type: 'customer.updated', data: { object: record }, context: '' };
  const size = Buffer.byteLength(JSON.stringify(body));
  let context = '';
  for (let part = 0; size + context.length < bytes; part++) {
    const digest = createHash('sha1').update(`${deliveryId}.${part}`).digest('hex');
    context += `${WORDS[part % WORDS.length]} ${digest.slice(0, 12)} ${record.name} ${record.description.slice(0, 40)} `;
  }
  return Buffer.from(JSON.stringify({ ...body, context: context.slice(0, Math.max(0, bytes - size)) }));
}

/** The headers by which GitHub proves a delivery and names it. */
export const signatureHeaders = (body: Buffer, deliveryId: string): Record<string, string> => ({
  'x-hub-signature-256': `sha256=${createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex')}`,
  'x-github-delivery': deliveryId,
  'x-github-event': 'customer.updated',
});
