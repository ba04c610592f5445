/** How values of a column are brought to canonical form and compared. */
export type ColumnKind = 'text' | 'integer' | 'decimal' | 'float' | 'boolean' | 'timestamp' | 'date' | 'json' | 'other';

export type TargetColumn = {
  /** Name in the database. */
  readonly name: string;
  /** As the database writes it, for example `numeric(10, 2)`. */
  readonly sqlType: string;
  readonly kind: ColumnKind;
  readonly isNotNull: boolean;
  readonly hasDefault: boolean;
};

/** A user's target table as plain data. Properties are the names that the mapping uses. */
export type TargetTable = {
  readonly schema: string;
  readonly name: string;
  readonly columns: { readonly [property: string]: TargetColumn };
  /** Property that holds the record's external id; its column must be unique. */
  readonly keyProperty: string;
  /** The key column is a text that takes the external id as it is, so that no two records can have one key in the table. */
  readonly isKeyDirect: boolean;
  /** Properties the mapping fills with content, in a fixed order. */
  readonly contentProperties: readonly string[];
  /** Properties stamped on every effective write (`syncedAt()`). */
  readonly syncedAtProperties: readonly string[];
  /** Property stamped instead of removing the row (`deletedAt()`), if any. */
  readonly deletedAtProperty: string | null;
};
