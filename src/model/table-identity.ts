import { z } from 'zod';

/** What tells a table and its columns from others that bear the same names: ids of the catalogue, which no name has twice. */
export const tableIdentitySchema = z.object({
  /** Of our own schema: another one after both were restored together. */
  schemaId: z.string(),
  tableId: z.string(),
  /** Number of each watched column, by its name. */
  columns: z.record(z.string(), z.int()),
});
export type TableIdentity = Readonly<z.infer<typeof tableIdentitySchema>>;

/** `table`: it was made anew, or its key was. `columns`: some of its columns were. */
export type IdentityChange =
  | { readonly kind: 'none' }
  | { readonly kind: 'table' }
  | { readonly kind: 'columns'; readonly names: readonly string[] };

const NONE: IdentityChange = { kind: 'none' };

/**
 * Whether what stands in a table, or in a column, is still what our records were compared with. Where our own schema is
 * another one too, all of it was restored together, and fits. Pure.
 */
export function compareIdentity(
  kept: TableIdentity | null,
  now: TableIdentity | null,
  keyColumn: string,
): IdentityChange {
  if (kept === null || now === null || kept.schemaId !== now.schemaId) return NONE;
  const names = Object.keys(now.columns).filter((name) => {
    const before = kept.columns[name];
    return before !== undefined && before !== now.columns[name];
  });
  if (kept.tableId !== now.tableId || names.includes(keyColumn)) return { kind: 'table' };
  return names.length === 0 ? NONE : { kind: 'columns', names };
}
