import { canonicalise } from '../mapping/canonical.ts';
import { Refusal } from '../mapping/refusal.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetColumn, TargetTable } from '../model/target.ts';

/** A row as the database writes it, by property. */
type Raw = { readonly [property: string]: JsonValue };

/**
 * Reads rows into the form in which content is compared. Total: what a user has put into her table and no source could
 * (`infinity`, a year beyond 9999) is kept as the database writes it, and then simply differs from everything.
 */
export function prepareRowReader(table: TargetTable): (row: Raw) => Content {
  const columns = table.contentProperties.map((property) => {
    const column = table.columns[property];
    if (column === undefined) throw new TypeError(`No column for property ${property} of ${table.name}`);
    return { property, column };
  });
  return (row) =>
    Object.fromEntries(columns.map(({ property, column }) => [property, readValue(row[property] ?? null, column)]));
}

function readValue(value: JsonValue, column: TargetColumn): JsonValue {
  try {
    return canonicalise(isZoneless(column) && typeof value === 'string' ? `${value}Z` : value, column);
  } catch (error) {
    if (error instanceof Refusal) return value;
    throw error;
  }
}

/** Times are written as UTC, so a column without a zone holds UTC. */
const isZoneless = ({ kind, sqlType }: TargetColumn): boolean =>
  kind === 'timestamp' && !/with time zone/.test(sqlType);
