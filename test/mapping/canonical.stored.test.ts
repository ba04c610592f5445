import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { test } from 'tap';
import { queryRows } from '../../src/db/query.ts';
import { canonicalise } from '../../src/mapping/canonical.ts';
import type { ColumnKind, TargetColumn } from '../../src/model/target.ts';
import { createTestDatabase } from '../helpers/database.ts';

const NUM_VALUES = 200;
const SEED = 20_240_229;

const column = (kind: ColumnKind, sqlType: string): TargetColumn => ({
  name: 'c',
  sqlType,
  kind,
  isNotNull: false,
  hasDefault: false,
});
const micros = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_214_400_000_000n });
const iso = micros.map((one) => {
  const rest = ((one % 1_000n) + 1_000n) % 1_000n;
  return new Date(Number((one - rest) / 1_000n)).toISOString().replace('Z', `${String(rest).padStart(3, '0')}Z`);
});
const halves = fc
  .tuple(fc.integer({ min: -999_999, max: 999_999 }), fc.constantFrom('5', '49', '51', '005', ''))
  .map(([whole, fraction]) => `${whole}.${fraction}0`);

const CASES: readonly (readonly [TargetColumn, fc.Arbitrary<unknown>])[] = [
  [column('decimal', 'numeric(12, 2)'), fc.oneof(halves, fc.double({ min: -1e9, max: 1e9, noNaN: true }))],
  [column('decimal', 'numeric(8)'), halves],
  [column('decimal', 'numeric'), fc.double({ noNaN: true, noDefaultInfinity: true })],
  [column('timestamp', 'timestamp (0) with time zone'), iso],
  [column('timestamp', 'timestamp(3)'), iso],
  [column('timestamp', 'timestamp with time zone'), iso],
  [column('float', 'real'), fc.float({ noNaN: true, noDefaultInfinity: true })],
  [column('float', 'double precision'), fc.double({ noNaN: true, noDefaultInfinity: true })],
  [column('integer', 'bigint'), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
  [column('text', 'char(5)'), fc.string({ maxLength: 5 })],
  [column('text', 'uuid'), fc.uuid().map((uuid) => uuid.toUpperCase())],
];

/**
 * PostgreSQL itself is the oracle: given the value as the source sent it, and given the canonical form, it must store the
 * same; and what it stores of the canonical form must have that form again.
 */
for (const [target, values] of CASES) {
  test(`${target.sqlType} stores the canonical form as it would store the value itself`, async (t) => {
    const { db } = await createTestDatabase(t);
    const pairs = fc.sample(values, { numRuns: NUM_VALUES, seed: SEED }).flatMap((value) => {
      try {
        return [{ given: String(value), canonical: canonicalise(value, target) }];
      } catch {
        return []; // refused: nothing is stored
      }
    });
    t.ok(pairs.length > NUM_VALUES / 4, 'most values are taken');
    const rows = await queryRows<{ given: string; canonical: string; stored: string }>(
      db,
      sql`SELECT given, canonical, to_json(canonical::${sql.raw(target.sqlType)})::text AS stored
          FROM jsonb_to_recordset(${JSON.stringify(pairs)}::text::jsonb) AS r(given text, canonical text)
          WHERE given::${sql.raw(target.sqlType)} IS DISTINCT FROM canonical::${sql.raw(target.sqlType)}`,
    );
    t.strictSame(rows, []);
    if (target.kind === 'timestamp' || target.kind === 'text') return;
    const stored = await queryRows<{ canonical: string; stored: string }>(
      db,
      sql`SELECT canonical, (canonical::${sql.raw(target.sqlType)})::text AS stored
          FROM jsonb_to_recordset(${JSON.stringify(pairs)}::text::jsonb) AS r(canonical text)`,
    );
    for (const row of stored) {
      const again = canonicalise(row.stored, target);
      // jsonb writes exponents out; the number is what counts.
      if (target.kind === 'float') t.equal(again, Number(row.canonical));
      else t.equal(String(again), row.canonical);
    }
  });
}
