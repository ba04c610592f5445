import { compareRows } from '../compare-rows.ts';
import { expectedCustomer, expectedOrder } from '../expected-rows.ts';
import type { Sql } from './database.ts';
import type { ShopProcess } from './shop-process.ts';

/** How a table differs from the shop. All zero means equal, record by record and column by column. */
export type Difference = {
  readonly records: number;
  readonly rows: number;
  readonly missing: number;
  readonly surplus: number;
  readonly different: number;
  /** The first few, in words. */
  readonly examples: readonly string[];
};

const MAX_EXAMPLES = 5;
const EXPECTED = { customers: expectedCustomer, orders: expectedOrder };
const WORDS = { missing: 'a record, but no row', surplus: 'a row, but no record', different: 'differs in' };

/** Compares one table with the shop's own records. */
export async function compare(shop: ShopProcess, sql: Sql, kind: 'customers' | 'orders'): Promise<Difference> {
  const expected = (await shop.truth(kind)).map(EXPECTED[kind]);
  const rows = await sql(`SELECT * FROM shop_${kind}`);
  const differences = compareRows(expected, rows);
  const count = (wanted: keyof typeof WORDS) => differences.filter((one) => one.kind === wanted).length;
  const examples = differences.slice(0, MAX_EXAMPLES).map((one) => {
    const columns = one.kind === 'different' ? ` ${one.columns.join(', ')}` : '';
    return `${one.id}: ${WORDS[one.kind]}${columns}`;
  });
  return {
    records: expected.length,
    rows: rows.length,
    missing: count('missing'),
    surplus: count('surplus'),
    different: count('different'),
    examples,
  };
}

export const isEqual = ({ missing, surplus, different }: Difference): boolean => missing + surplus + different === 0;
