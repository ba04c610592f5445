import { sql } from 'drizzle-orm';
import { uuidv7 } from 'uuidv7';
import { queryRows } from '../../../src/db/query.ts';
import { addLocalChanges } from '../../../src/store/local-changes.ts';
import { applyTwoWay } from '../../../src/sync/apply-two-way.ts';
import type { CrashPoint } from '../../../src/sync/deps.ts';
import { planOnce } from '../../../src/sync/plan-pushes.ts';
import { pushOnce, resolveOnce } from '../../../src/sync/push.ts';
import type { PushDeps } from '../../../src/sync/push-deps.ts';
import { createRecordStore } from '../../../src/sync/record-tx.ts';
import type { TwoWay, WriteEndpoint } from '../../../src/sync/two-way.ts';
import { silentLog } from '../../helpers/database.ts';
import { shareTwoWay, twoWay } from '../two-way/world.ts';
import { CrashError, createWorker, KEY } from '../world.ts';
import { createFakeShop } from './fake-shop.ts';

const NEVER = new AbortController().signal;

type Teardown = { teardown(work: () => unknown): unknown };
type Options = Parameters<ReturnType<typeof shareTwoWay>>[1];

/** Endpoints as the plain ones, but for what a test changes in them. */
export function writesWith(over: Partial<WriteEndpoint>, create: Partial<WriteEndpoint> = over): TwoWay['writes'] {
  const { writes } = twoWay();
  if (writes.create === null || writes.update === null || writes.delete === null) throw new Error('All are there');
  return {
    create: { ...writes.create, ...create },
    update: { ...writes.update, ...over },
    delete: { ...writes.delete, ...over },
  };
}

/** The push flow between a real database and a source in memory. */
export function sharePushes(file: Teardown) {
  const share = shareTwoWay(file);
  return async (t: Teardown, options: Options = {}) => {
    const world = await share(t, options);
    const { db, stream } = world;
    const shop = createFakeShop(db);
    Object.assign(world.source, { getRecord: (_get: unknown, id: string) => shop.source.read(id, NEVER) });

    /** One worker; `crashAt` kills it there, and from then on nothing of it reaches the database. */
    function worker(hooks: { crashAt?: CrashPoint; at?: (point: CrashPoint) => Promise<void> | void } = {}) {
      const { deps: dying } = createWorker(db, stream, hooks);
      const deps: PushDeps = {
        stream: { ...stream, twoWay: stream.twoWay ?? twoWay() },
        store: createRecordStore(dying.db, stream),
        source: shop.source,
        apply: (tx, sightings) =>
          applyTwoWay(tx, { ...stream, twoWay: stream.twoWay ?? twoWay() }, sightings, { repairs: false }),
        newId: uuidv7,
        random: () => 0,
        log: { ...silentLog, debug() {} },
        wakePushes: () => {},
        wakeHints: () => {},
        crashPoint: dying.crashPoint,
      };
      /** Until it dies. */
      const survive = async <T>(work: Promise<T>): Promise<T | 'died'> => {
        try {
          return await work;
        } catch (error) {
          if (error instanceof CrashError) return 'died';
          throw error;
        }
      };
      return {
        deps,
        plan: () => survive(planOnce(deps, 100)),
        push: (limit = 10) => survive(pushOnce(deps, limit, NEVER)),
        resolve: (limit = 10) => survive(resolveOnce(deps, limit, NEVER)),
      };
    }
    const one = worker();

    /** Lets time pass, by moving everything that the database remembers into the past. */
    async function pass(ms: number): Promise<void> {
      const by = sql.raw(`interval '${ms} milliseconds'`);
      await world.pass(ms);
      await queryRows(
        db,
        sql`UPDATE sync.outbox_pushes SET first_call_at = first_call_at - ${by}, deadline = deadline - ${by},
              run_at = run_at - ${by}, edited_at = edited_at - ${by}, lease_expires_at = lease_expires_at - ${by}`,
      );
      await queryRows(
        db,
        sql`UPDATE sync.change_tokens SET created_at = created_at - ${by}, expires_at = expires_at - ${by},
              echo = CASE WHEN echo IS NULL THEN NULL ELSE
                jsonb_set(echo, '{hi}', to_jsonb((echo->>'hi')::float8 - ${ms * 1_000})) END`,
      );
      await queryRows(db, sql`UPDATE sync.source_states SET blocked_until = blocked_until - ${by}`);
    }

    /** An edit by somebody with psql, captured. */
    async function edited(id: string, set: { readonly [column: string]: string | number | null }): Promise<void> {
      await world.edit(id, set);
      await addLocalChanges(db, KEY, 'U', [id]);
    }

    /** A record that is known and in line on both sides. */
    async function known(id: string, over: { readonly [field: string]: unknown } = {}): Promise<void> {
      const record = { id, name: `Name ${id}`, amount: 1, price: '9.50', tags: ['a'], code: null, version: 1, ...over };
      shop.records.set(id, record);
      await world.apply([world.see(id, record)]);
    }

    return {
      ...world,
      shop,
      worker,
      pass,
      edited,
      known,
      ...one,
      async inserted(id: string, name: string): Promise<void> {
        await queryRows(db, sql`INSERT INTO shop.customers (id, full_name, amount) VALUES (${id}, ${name}, 1)`);
        await addLocalChanges(db, KEY, 'I', [id]);
      },
      async removed(...ids: readonly string[]): Promise<void> {
        for (const id of ids) await world.remove(id);
        await addLocalChanges(db, KEY, 'D', ids);
      },
      /** Plans, and pushes until nothing is due. */
      async pushAll(): Promise<void> {
        await one.plan();
        for (let round = 0; round < 20; round++) {
          const report = await one.push();
          if (report === 'died' || report.looked === 0) return;
        }
        throw new Error('Pushes without end');
      },
      states: async (): Promise<string[]> =>
        (
          await queryRows<{ told: string }>(
            db,
            sql`SELECT concat_ws(' ', op, state, park_reason) AS told FROM sync.outbox_pushes ORDER BY created_at, id`,
          )
        ).map(({ told }) => told),
      tokens: async () =>
        await queryRows<{ id: string; state: string; external_id: string | null }>(
          db,
          sql`SELECT id::text AS id, state, external_id FROM sync.change_tokens ORDER BY created_at`,
        ),
      isInLine: async (id: string): Promise<boolean> => {
        const state = await world.stateOf(id);
        const row = await world.rowOf(id);
        const record = shop.records.get(id);
        return (
          state?.status === 'live' &&
          row !== undefined &&
          record !== undefined &&
          row.full_name === record.name &&
          state.shadow?.name === row.full_name &&
          state.base?.name === record.name
        );
      },
    };
  };
}
