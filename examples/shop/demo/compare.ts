import type { Sql } from './database.ts';
import type { ShopProcess } from './shop-process.ts';

/** How the tables differ from the shop. All zero means equal, record by record and column by column. */
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

type Row = Record<string, unknown>;

/**
 * What each table should hold for a record. Written out by hand on purpose: a comparison that used the mapping under test
 * would agree with its mistakes.
 */
const EXPECTED: { readonly [kind in 'customers' | 'orders']: (record: Row) => Row } = {
  customers: (record) => {
    const { line1, line2 } = record.address as { line1: string; line2: string | null };
    const { tags } = record.metadata as { tags: string[] };
    return {
      external_id: record.id,
      name: record.name,
      email: String(record.email).trim().toLowerCase(),
      status: { active: 'enabled', inactive: 'disabled' }[String(record.status)] ?? 'unknown',
      amount: hundredths(record.amount_cents),
      tags: tags.join(', '),
      street_address: [line1, line2].filter((line) => line !== null && line !== '').join(' '),
      note: record.note,
      created_date: moment(record.created_at),
      updated_date: moment(record.updated_at),
      sync_source: 'shop',
    };
  },
  orders: (record) => ({
    external_id: record.id,
    customer_id: record.customer_id,
    number: record.number,
    status: record.status,
    total: hundredths(record.total_cents),
    currency: record.currency,
    items: JSON.stringify(sortKeys(record.items)),
    placed_at: moment(record.placed_at),
    shipped_at: record.shipped_at === null ? null : moment(record.shipped_at),
    updated_date: moment(record.updated_at),
  }),
};

const COLUMNS = {
  customers: `external_id, name, email, status, amount::text, tags, street_address, note,
    (extract(epoch FROM created_date) * 1000)::bigint::text AS created_date,
    (extract(epoch FROM updated_date) * 1000)::bigint::text AS updated_date, sync_source`,
  orders: `external_id, customer_id, number, status, total::text, currency, items::text AS items,
    (extract(epoch FROM placed_at) * 1000)::bigint::text AS placed_at,
    (extract(epoch FROM shipped_at) * 1000)::bigint::text AS shipped_at,
    (extract(epoch FROM updated_date) * 1000)::bigint::text AS updated_date`,
} as const;

/** Compares one table with the shop's own records. */
export async function compare(shop: ShopProcess, sql: Sql, kind: 'customers' | 'orders'): Promise<Difference> {
  const truth = await shop.truth(kind);
  const rows = await sql(`SELECT ${COLUMNS[kind]} FROM shop_${kind}`);
  const examples: string[] = [];
  const tell = (text: string) => examples.length < MAX_EXAMPLES && examples.push(text);
  const seen = new Set<string>();
  let surplus = 0;
  let different = 0;
  for (const row of rows) {
    const id = String(row.external_id);
    seen.add(id);
    const record = truth.get(id);
    if (record === undefined) {
      surplus++;
      tell(`${kind} ${id}: a row, but no such record`);
      continue;
    }
    const column = differingColumn(EXPECTED[kind](record), row);
    if (column === null) continue;
    different++;
    tell(`${kind} ${id}: column ${column} differs`);
  }
  let missing = 0;
  for (const id of truth.keys()) {
    if (seen.has(id)) continue;
    missing++;
    tell(`${kind} ${id}: a record, but no row`);
  }
  return { records: truth.size, rows: rows.length, missing, surplus, different, examples };
}

export const isEqual = ({ missing, surplus, different }: Difference): boolean => missing + surplus + different === 0;

function differingColumn(expected: Row, row: Row): string | null {
  for (const [column, value] of Object.entries(expected)) {
    const held = column === 'items' ? JSON.stringify(sortKeys(JSON.parse(String(row.items)))) : row[column];
    if (held !== value) return column;
  }
  return null;
}

const moment = (iso: unknown): string => String(Date.parse(String(iso)));

function hundredths(cents: unknown): string {
  const digits = String(Math.abs(Number(cents))).padStart(3, '0');
  return `${Number(cents) < 0 ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** jsonb keeps no order of keys. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, one]) => [key, sortKeys(one)]),
  );
}
