import { createHash } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import type { Mapped, Mapper, MappingProblem } from '../../src/mapping/mapper.ts';
import type { Capabilities } from '../../src/model/capabilities.ts';
import type { Content } from '../../src/model/observation.ts';
import type { TargetTable } from '../../src/model/target.ts';

/** A record as the simulated shop sends it. What is left out is left out of the payload. */
export type Customer = {
  readonly id?: unknown;
  readonly name?: unknown;
  readonly amount?: unknown;
  readonly parent?: unknown;
  readonly code?: unknown;
  /** A counter, or microseconds; only where the shop has versions. */
  readonly version?: number;
  readonly deleted?: boolean;
  /** Not a customer at all. */
  readonly kind?: string;
};

export type TableShape = { readonly softDelete: boolean; readonly keyProperty: 'id' | 'code' };

const COLUMNS: TargetTable['columns'] = {
  id: { name: 'id', sqlType: 'text', kind: 'text', isNotNull: true, hasDefault: false },
  name: { name: 'full_name', sqlType: 'varchar(20)', kind: 'text', isNotNull: false, hasDefault: false },
  amount: { name: 'amount', sqlType: 'integer', kind: 'integer', isNotNull: true, hasDefault: false },
  parent: { name: 'parent_id', sqlType: 'text', kind: 'text', isNotNull: false, hasDefault: false },
  code: { name: 'code', sqlType: 'text', kind: 'text', isNotNull: false, hasDefault: false },
  syncedAt: {
    name: 'synced_at',
    sqlType: 'timestamp with time zone',
    kind: 'timestamp',
    isNotNull: false,
    hasDefault: false,
  },
  deletedAt: {
    name: 'deleted_at',
    sqlType: 'timestamp with time zone',
    kind: 'timestamp',
    isNotNull: false,
    hasDefault: false,
  },
};

/** The user's table, with a rule of every kind that a row can break, and a column that is hers alone. */
export async function createShopTable(db: Db, { softDelete, keyProperty }: TableShape): Promise<TargetTable> {
  await queryRows(db, sql`CREATE SCHEMA shop`);
  await queryRows(db, sql`CREATE TABLE shop.parents (id text PRIMARY KEY)`);
  await queryRows(
    db,
    sql`CREATE TABLE shop.customers (
          id text NOT NULL, full_name varchar(20), amount integer NOT NULL CHECK (amount >= 0),
          parent_id text REFERENCES shop.parents (id), code text, synced_at timestamptz, deleted_at timestamptz, note text,
          PRIMARY KEY (${sql.raw(keyProperty)}))`,
  );
  return {
    schema: 'shop',
    name: 'customers',
    columns: COLUMNS,
    keyProperty,
    isKeyDirect: keyProperty === 'id',
    contentProperties: ['id', 'name', 'amount', 'parent', 'code'],
    syncedAtProperties: ['syncedAt'],
    deletedAtProperty: softDelete ? 'deletedAt' : null,
  };
}

export type CustomerRow = {
  readonly id: string;
  readonly full_name: string | null;
  readonly amount: number;
  readonly parent_id: string | null;
  readonly code: string | null;
  readonly note: string | null;
  readonly deleted_at: string | null;
  /** Changes whenever the row is written. */
  readonly written: string;
};

export const readCustomers = async (db: Db): Promise<CustomerRow[]> =>
  await queryRows<CustomerRow & Record<string, unknown>>(
    db,
    sql`SELECT id, full_name, amount, parent_id, code, note, deleted_at, xmin::text || ctid::text AS written
        FROM shop.customers ORDER BY id COLLATE "C"`,
  );

const FIELDS = ['id', 'name', 'amount', 'parent', 'code'] as const;

/** A mapper of the plainest kind: fields are copied, and a record whose name is no text does not map. */
export function createShopMapper(versionKind: Capabilities['versionKind']): Mapper {
  const problem = (externalId: string | null, fieldPath: string, code: MappingProblem['code']): MappingProblem => ({
    code,
    integration: 'shop',
    entity: 'customers',
    externalId,
    fieldPath,
    expected: 'a text',
    received: 'other' as MappingProblem['received'],
    message: `shop/customers record ${externalId ?? '(unknown)'}: ${fieldPath}: expected a text`,
  });
  const isCustomer = (raw: unknown): raw is Customer => typeof raw === 'object' && raw !== null;
  const parseVersion = (value: unknown): bigint | null =>
    versionKind !== 'none' && Number.isSafeInteger(value) ? BigInt(Number(value)) : null;
  const parseId = (value: unknown): ReturnType<Mapper['parseId']> =>
    typeof value === 'string' && value !== ''
      ? { ok: true, externalId: value }
      : { ok: false, problem: problem(null, 'id', 'bad_id') };

  return {
    fingerprint: 'v1',
    hashOf,
    parseId,
    parseVersion,
    externalIdOf: (raw) => parseId(isCustomer(raw) ? raw.id : undefined),
    versionOf: (raw) => parseVersion(isCustomer(raw) ? raw.version : undefined),
    map(raw, { isPartial = false } = {}): Mapped {
      const named = parseId(isCustomer(raw) ? raw.id : undefined);
      if (!isCustomer(raw) || !named.ok)
        return { kind: 'invalid', externalId: null, problem: problem(null, 'id', 'bad_id') };
      const { externalId } = named;
      const version = parseVersion(raw.version);
      if (raw.kind !== undefined && raw.kind !== 'customer') return { kind: 'ignored', externalId };
      if (raw.deleted === true) {
        return { kind: 'mapped', externalId, content: {}, hash: hashOf({}), version, isDeleted: true };
      }
      if (raw.name !== undefined && raw.name !== null && typeof raw.name !== 'string') {
        return { kind: 'invalid', externalId, problem: problem(externalId, 'name', 'wrong_kind') };
      }
      if (isPartial && raw.name === 'unusable') return { kind: 'incomplete', externalId, version };
      const content: Record<string, Content[string]> = {};
      for (const name of FIELDS) {
        const value = raw[name];
        if (value !== undefined) content[name] = value as Content[string];
        else if (!isPartial) content[name] = null;
      }
      return { kind: 'mapped', externalId, content, hash: hashOf(content), version, isDeleted: false };
    },
  };
}

const hashOf = (content: Content): string => {
  const sorted = Object.entries(content).sort(([left], [right]) => (left < right ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
};
