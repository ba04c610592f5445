import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Entry, Page } from 'syncline/testing';
import type { Shop } from './shop.ts';

const PAGE = 500;

/**
 * Sends all records in id order as one JSON array, in pieces, so that a large shop is never in memory twice.
 * It is one state of the shop only while the shop does not change.
 */
export async function streamTruth(
  records: Shop['customers' | 'orders']['records'],
  response: ServerResponse,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json' });
  let separator = '[\n';
  let after: Entry<unknown> | null = null;
  for (let hasMore = true; hasMore && !response.destroyed; ) {
    const page: Page<unknown> = records.page({ order: 'id', since: null, after, skip: 0, limit: PAGE });
    for (const { record } of page.entries) {
      response.write(separator + JSON.stringify(record));
      separator = ',\n';
    }
    if (response.writableNeedDrain) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    after = page.entries.at(-1) ?? null;
    hasMore = page.hasMore && after !== null;
  }
  response.end(separator === '[\n' ? '[]\n' : '\n]\n');
}
