import type { Random } from './random.ts';
import type { World } from './world.ts';

/**
 * The audit of the rows, and one that is wrong at times: some of all rows, and of all records without a row, count as edited
 * just now. A captured edit only says where to look, so nothing may come of it where nobody has edited.
 */
export function audit({ tables, clock }: World, random: Random, share: number): void {
  const keys = new Set(tables.rows.rows.keys());
  for (const { status, externalId, targetKey } of tables.states.rows.values())
    if (status === 'live') keys.add(targetKey ?? externalId);
  for (const targetKey of keys) {
    if (!random.chance(share)) continue;
    const op = tables.rows.get(targetKey) === undefined ? 'D' : 'U';
    tables.changes.set(tables.nextId(), { targetKey, op, at: clock.at() });
  }
}
