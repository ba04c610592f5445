import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { test } from 'tap';
import { keyset } from '../../src/source/pagination/keyset.ts';
import { offset } from '../../src/source/pagination/offset.ts';
import { sendText } from '../helpers/fake-api.ts';
import { never, setup } from './setup.ts';

const RECORDS = 1_000_000;
const PAGE_SIZE = 10_000;
/** A single page of these records is about as much. */
const MAX_GROWTH_BYTES = 2 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

function heapUsed(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

function pageOf(from: number): string {
  const records: string[] = [];
  for (let id = from; id < Math.min(from + PAGE_SIZE, RECORDS); id++) records.push(`{"id":${id + 1}}`);
  return `[${records.join(',')}]`;
}

for (const [name, pagination, param] of [
  ['by key', keyset({ param: 'after', field: 'id' }), 'after'],
  ['by offset', offset({ param: 'start', overlap: 1 }), 'start'],
] as const) {
  test(`a listing of a million records ${name} holds no more at its end than at a tenth`, async (t) => {
    const { client } = await setup(t, (response, { url }) =>
      sendText(response, 200, pageOf(Number(new URL(url, 'http://x').searchParams.get(param) ?? 0))),
    );
    const list = { path: '/records', items: '', pagination, pageSize: { param: 'limit', size: PAGE_SIZE } };
    let records = 0;
    let pages = 0;
    let atTenth = 0;
    for await (const { items } of client.listPages(list, { signal: never() })) {
      records += items.length;
      pages += 1;
      if (pages === RECORDS / PAGE_SIZE / 10) atTenth = heapUsed();
    }
    const grownBytes = heapUsed() - atTenth;
    t.ok(records >= RECORDS && records < RECORDS + 2 * pages, `${records} records`);
    t.ok(grownBytes < MAX_GROWTH_BYTES, `${grownBytes} bytes more`);
  });
}
