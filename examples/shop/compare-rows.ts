import { isDeepStrictEqual } from 'node:util';
import type { ExpectedRow } from './expected-rows.ts';

export type Difference =
  | { readonly kind: 'missing'; readonly id: string }
  /** A row without a record: a deletion that was missed, or a record that never was. */
  | { readonly kind: 'surplus'; readonly id: string }
  | { readonly kind: 'different'; readonly id: string; readonly columns: readonly string[] };

export type Row = { readonly [column: string]: unknown };

/** Compares, record by record, in every column that is expected. Empty when source and target are equal. */
export function compareRows(expected: readonly ExpectedRow[], rows: readonly Row[]): Difference[] {
  const rowById = new Map(rows.map((row) => [String(row.external_id), row]));
  const differences: Difference[] = [];
  for (const want of expected) {
    const row = rowById.get(want.external_id);
    rowById.delete(want.external_id);
    if (row === undefined) differences.push({ kind: 'missing', id: want.external_id });
    else {
      const columns = Object.keys(want).filter((column) => !isSame(want[column], row[column]));
      if (columns.length > 0) differences.push({ kind: 'different', id: want.external_id, columns });
    }
  }
  for (const id of rowById.keys()) differences.push({ kind: 'surplus', id });
  return differences;
}

/** Databases and drivers write one instant in several ways; everything else must be the same as it stands. */
function isSame(want: unknown, value: unknown): boolean {
  if (isDeepStrictEqual(want, value)) return true;
  if (typeof want !== 'string' || !ISO_INSTANT.test(want)) return false;
  const at = value instanceof Date ? value : typeof value === 'string' ? new Date(value) : null;
  return at !== null && at.getTime() === Date.parse(want);
}

const ISO_INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
