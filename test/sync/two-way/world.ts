import { sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Db } from '../../../src/db/connect.ts';
import { queryRows } from '../../../src/db/query.ts';
import { field } from '../../../src/mapping/field.ts';
import { createMapper, type Mapper } from '../../../src/mapping/mapper.ts';
import type { Sighted } from '../../../src/model/apply.ts';
import type { Capabilities } from '../../../src/model/capabilities.ts';
import type { ConflictPolicy } from '../../../src/model/conflict.ts';
import { BEFORE_ALL } from '../../../src/model/instant.ts';
import type { Content } from '../../../src/model/observation.ts';
import type { Push } from '../../../src/model/push.ts';
import type { TargetTable } from '../../../src/model/target.ts';
import { applyBatch } from '../../../src/sync/apply.ts';
import { observe, type Sight } from '../../../src/sync/observe.ts';
import type { RecordTx, StartedCall } from '../../../src/sync/record-store.ts';
import { openRecordTx } from '../../../src/sync/record-tx.ts';
import type { TwoWay, WriteEndpoint } from '../../../src/sync/two-way.ts';
import { createTestDatabase, type TestDatabase } from '../../helpers/database.ts';
import { absenceOf, createWorld, type WorldOptions } from '../world.ts';

const endpoint = (method: WriteEndpoint['method'], path: string): WriteEndpoint => ({
  method,
  path,
  query: {},
  headers: {},
  sends: 'changes',
  nulls: 'send',
  bodyAt: '',
  body: {},
  recordAt: '',
  idAt: null,
  ifMatch: null,
  graphql: null,
  failures: [],
});

/** Edits of the name, the price and the tags are pushed; the amount is computed by the source. */
export const WRITABLE = ['name', 'price', 'tags'] as const;

export type TwoWayOptions = Partial<TwoWay> & {
  readonly policy?: ConflictPolicy;
  readonly policies?: { readonly [property: string]: ConflictPolicy };
};

export const twoWay = ({ policy = 'source_wins', policies = {}, ...over }: TwoWayOptions = {}): TwoWay => ({
  writable: new Set(WRITABLE),
  creatable: new Set(WRITABLE),
  writes: {
    create: endpoint('POST', '/customers'),
    update: endpoint('PATCH', '/customers/{id}'),
    delete: endpoint('DELETE', '/customers/{id}'),
  },
  mode: 'target-first',
  policyOf: (property) => policies[property] ?? policy,
  comparesTimes: policy === 'newest_wins',
  recordPolicy: policy,
  adopt: 'source_wins',
  localDeletes: 'restore',
  massDelete: { maxShare: 0.1, minimum: 20 },
  idempotency: null,
  marker: null,
  mayDuplicateCreates: false,
  debounceMs: 0,
  budget: { calls: 10, perMs: 600_000 },
  clockSkewMs: 2_000,
  unmap: (content) => ({ ok: true, fields: { ...content }, returns: content }),
  ...over,
});

/** With exact numbers and JSON beside what the plain table has. */
async function addColumns(db: Db, plain: TargetTable): Promise<TargetTable> {
  await queryRows(db, sql`ALTER TABLE shop.customers ADD COLUMN price numeric(10, 2), ADD COLUMN tags jsonb`);
  return {
    ...plain,
    columns: {
      ...plain.columns,
      price: { name: 'price', sqlType: 'numeric(10, 2)', kind: 'decimal', isNotNull: false, hasDefault: false },
      tags: { name: 'tags', sqlType: 'jsonb', kind: 'json', isNotNull: false, hasDefault: false },
    },
    contentProperties: ['id', 'name', 'amount', 'price', 'tags', 'code'],
  };
}

const mapperFor =
  (versionKind: Capabilities['versionKind']) =>
  (target: TargetTable): Mapper =>
    createMapper({
      integration: 'shop',
      entity: 'customers',
      schema: z.looseObject({ id: z.string() }),
      key: 'id',
      version:
        versionKind === 'none'
          ? { kind: 'none' }
          : versionKind === 'counter'
            ? { kind: 'counter', field: 'version' }
            : { kind: 'timestamp', field: 'version', format: 'epoch_ms' },
      mapping: {
        id: field(target.keyProperty === 'code' ? 'id' : 'id'),
        name: field('name'),
        amount: field('amount'),
        price: field('price'),
        tags: field('tags'),
        code: field('code'),
      },
      target,
    });

export type Record = { readonly [field: string]: unknown };
export type Row = {
  readonly id: string;
  readonly full_name: string | null;
  readonly amount: number;
  readonly price: string | null;
  readonly tags: unknown;
  readonly code: string | null;
  readonly note: string | null;
  readonly deleted_at: string | null;
  readonly written: string;
};

type Teardown = { teardown(work: () => unknown): unknown };
type Options = Omit<WorldOptions, 'twoWay' | 'database'> & { readonly twoWay?: TwoWayOptions };

/** Two-way worlds of one test file, one after the other on one database. */
export function shareTwoWay(file: Teardown) {
  let shared: Promise<TestDatabase> | null = null;
  return async (t: Teardown, options: Options = {}) => {
    shared ??= createTestDatabase(file);
    return await createTwoWay(t, { ...options, database: await shared });
  };
}

export async function createTwoWay(t: Teardown, options: Options & { readonly database?: TestDatabase } = {}) {
  const versionKind = options.versionKind ?? 'counter';
  const world = await createWorld(t, {
    ...options,
    twoWay: twoWay(options.twoWay),
    keepsBase: true,
    table: addColumns,
    mapper: mapperFor(versionKind),
  });
  const { db, stream } = world;

  /** A record as the source shows it: what is left out is as in every other. */
  const see = (id: string, over: Record = {}, sight: Partial<Sight> = {}): Sighted => {
    const record = { id, name: `Name ${id}`, amount: 1, price: '9.50', tags: ['a'], code: null, version: 1, ...over };
    const observed = observe(stream, record, { ...SIGHT, ...sight });
    if (observed.kind !== 'sighted') throw new Error(`The record does not map: ${observed.kind}`);
    return observed.sighted;
  };

  const apply = async (sightings: readonly Sighted[], repairs = false): Promise<string[]> => {
    const outcomes = await db.transaction((tx) => applyBatch(tx, stream, sightings, { repairs }));
    return outcomes.map(({ kind }) => kind);
  };

  const inTx = <T>(work: (tx: RecordTx) => Promise<T>): Promise<T> =>
    db.transaction((tx) => work(openRecordTx(tx, stream)));

  return {
    ...world,
    see,
    gone: (id: string, sight: Partial<Sight> = {}, version: bigint | null = 2n) =>
      absenceOf(id, sight, { isPositiveDelete: true, version }),
    apply,
    inTx,
    async rowOf(id: string): Promise<Row | undefined> {
      const [row] = await queryRows<Row & { [column: string]: unknown }>(
        db,
        sql`SELECT *, xmin::text || ctid::text AS written FROM shop.customers WHERE id = ${id}`,
      );
      return row;
    },
    /** An edit of a user's, as psql would make it. */
    async edit(id: string, set: { readonly [column: string]: string | number | null }): Promise<void> {
      const changes = Object.entries(set).map(([column, value]) => sql`${sql.raw(column)} = ${value}`);
      await queryRows(db, sql`UPDATE shop.customers SET ${sql.join(changes, sql`, `)} WHERE id = ${id}`);
    },
    /** From here on a trigger of the user's keeps new rows of such an amount out of the table. */
    async keepOut(minimum: number): Promise<void> {
      await queryRows(
        db,
        sql.raw(`CREATE OR REPLACE FUNCTION shop.keep_out() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN IF NEW.amount >= ${minimum} THEN RETURN NULL; END IF; RETURN NEW; END $$`),
      );
      await queryRows(
        db,
        sql`CREATE TRIGGER keep_out BEFORE INSERT ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.keep_out()`,
      );
    },
    /** As a mirror left the record: nothing is known of how its row was stored. */
    async forgetStored(id: string): Promise<void> {
      await queryRows(db, sql`UPDATE sync.record_states SET base = NULL, shadow = NULL WHERE external_id = ${id}`);
    },
    /** As the record was stored before this property was mapped. */
    async forgetProperty(id: string, property: string): Promise<void> {
      await queryRows(
        db,
        sql`UPDATE sync.record_states SET base = base - ${property}::text, shadow = shadow - ${property}::text
            WHERE external_id = ${id}`,
      );
    },
    async remove(id: string): Promise<void> {
      await queryRows(db, sql`DELETE FROM shop.customers WHERE id = ${id}`);
    },
    conflicts: async () =>
      await queryRows<{
        id: string;
        target_key: string;
        kind: string;
        fields: string[];
        base: Content | null;
        local: Content | null;
        remote: Content | null;
        policy: string;
        outcome: string | null;
        resolved_by: string | null;
      }>(
        db,
        sql`SELECT id::text AS id, target_key, kind, fields, base, local, remote, policy, outcome, resolved_by
            FROM sync.conflicts ORDER BY created_at, id`,
      ),
    pushes: async () =>
      await queryRows<{ target_key: string; external_id: string | null; state: string }>(
        db,
        sql`SELECT target_key, external_id, state FROM sync.outbox_pushes ORDER BY target_key, state`,
      ),
    history: async (id: string): Promise<string[]> =>
      (
        await queryRows<{ told: string }>(
          db,
          sql`SELECT concat_ws(' ', decision, reason) AS told FROM sync.record_history
              WHERE external_id = ${id} ORDER BY record_history.id`,
        )
      ).map(({ told }) => told),
    /** A push of this row that is being called. @returns it, and the id of its token. */
    async startPush(
      targetKey: string,
      { fieldHashes = {}, ...over }: Partial<StartedCall> & { fieldHashes?: { [property: string]: string } } = {},
    ): Promise<{ push: Push; tokenId: string }> {
      const tokenId = over.tokenId ?? crypto.randomUUID();
      const op = over.op ?? 'update';
      const externalId = op === 'create' ? null : (over.externalId ?? targetKey);
      const push = await inTx(async (tx) => {
        const now = await tx.now();
        await tx.ensurePushes([{ targetKey, externalId, edits: 1, runAt: now, editedAt: now }]);
        const [due] = await tx.lockReady(
          (await tx.duePushes(10)).filter((one) => one.targetKey === targetKey).map((one) => one.id),
        );
        if (due === undefined) throw new Error('No push is due');
        await tx.insertToken({
          id: tokenId,
          state: 'pending',
          externalId,
          targetKey,
          preHash: null,
          fieldHashes,
          resultHash: null,
          resultVersion: null,
          resultEtag: null,
          echo: null,
          seenCount: 0,
          createdAt: now,
          expiresAt: null,
        });
        return await tx.startCall(due, {
          op,
          externalId,
          snapshot: null,
          patch: null,
          request: { method: 'PATCH', path: '/', values: {}, query: {}, headers: {}, body: '{}', protocol: 'rest' },
          ifMatch: null,
          preVersion: null,
          leaseMs: 60_000,
          deadline: now + 50_000_000,
          ...over,
          tokenId,
        });
      });
      return { push, tokenId };
    },
    tokenOf: (id: string) => inTx((tx) => tx.readToken(id)),
  };
}

export type TwoWayWorld = Awaited<ReturnType<typeof createTwoWay>>;

const SIGHT: Sight = {
  channel: 'hook',
  origin: { kind: 'delivery', id: '1' },
  lo: BEFORE_ALL,
  hi: 1,
  isFullRun: false,
  isPartial: false,
  previousVersion: null,
  etag: null,
  inboxId: null,
  correlationId: null,
  isLastAttempt: false,
};
