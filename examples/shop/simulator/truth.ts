import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { PageStart } from './collection.ts';
import type { Ledger } from './ledger.ts';
import type { Stamped } from './records.ts';

const PAGE = 500;

/**
 * Sends all records in id order as one JSON array, in pieces, so that a large shop is never in memory twice.
 * It is one state of the shop only while the shop does not change.
 */
export async function streamTruth<R extends Stamped>(
  records: Ledger<R>['records'],
  response: ServerResponse,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json' });
  let separator = '[\n';
  let start: PageStart | null = { order: 'id', afterId: '' };
  while (start !== null && !response.destroyed) {
    const page = records.page(start, PAGE);
    for (const record of page.records) {
      response.write(separator + JSON.stringify(record));
      separator = ',\n';
    }
    if (response.writableNeedDrain) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    start = page.next;
  }
  response.end(separator === '[\n' ? '[]\n' : '\n]\n');
}
