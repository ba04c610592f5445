import { test } from 'tap';
import { claimDeliveries, insertDeliveries, MAX_CLAIMED_BYTES } from '../../src/store/inbox.ts';
import { createTestDatabase } from '../helpers/database.ts';

const MEGABYTE = 1024 * 1024;

test('one claim brings no more payload into memory than its bound, oldest first, and always at least one delivery', async (t) => {
  const { db } = await createTestDatabase(t);
  const sizes = [MAX_CLAIMED_BYTES + 1, 6 * MEGABYTE, 6 * MEGABYTE, 6 * MEGABYTE, 10];
  for (const [index, size] of sizes.entries()) {
    await insertDeliveries(db, [
      {
        integration: 'shop',
        dedupeKey: null,
        deliveryId: null,
        headers: {},
        correlationId: `c${index}`,
        body: Buffer.alloc(size, 0x61),
      },
    ]);
  }
  const claims: number[][] = [];
  for (let round = 0; round < 4; round++) {
    await db.transaction(async (tx) => {
      const claimed = await claimDeliveries(tx, { integrations: ['shop'], limit: 250, only: null });
      claims.push(claimed.map(({ body }) => body?.length ?? 0));
      const ids = claimed.map(({ id }) => id);
      if (ids.length > 0)
        await tx.execute(
          `UPDATE sync.inbox_deliveries SET state = 'applied', finished_at = now() WHERE id IN (${ids.join(',')})`,
        );
    });
  }
  t.same(claims, [[sizes[0]], [sizes[1], sizes[2]], [sizes[3], sizes[4]], []]);
});
