import { addMs, BEFORE_ALL } from '../../src/model/instant.ts';
import { blankState, type RecordState } from '../../src/model/record-state.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

/** Half of the states, and of the rows, are no longer what was stored. */
export function corrupt({ tables, clock, hashOf, source }: World, random: Random): void {
  for (const state of tables.states.values()) {
    if (random.chance(0.5)) tables.states.set(state.externalId, damaged(state));
  }
  for (const [key, row] of [...tables.rows.rows]) {
    if (random.chance(0.3)) tables.rows.set(key, { ...row, a: 'damaged' });
    else if (random.chance(0.2)) tables.rows.remove(key);
  }

  function damaged(state: RecordState): RecordState {
    const future = addMs(clock.at(), 3_600_000);
    const content = { id: state.externalId, a: 'x', b: 'x', d: null, n: 9, ref: null };
    switch (random.below(8)) {
      case 0:
        return { ...state, version: (state.version ?? 0n) + 1_000_000_000_000n };
      case 1:
        return { ...state, lo: future, hi: future };
      case 2:
        return { ...state, base: content, baseHash: hashOf(content) };
      case 3:
        return { ...state, version: null, lo: BEFORE_ALL, hi: BEFORE_ALL };
      case 4:
        // Of a record that is gone, the row would be left to nobody, and nobody but its owner may remove it then.
        if (source.current(state.externalId) === null) return state;
        return {
          ...blankState(state.externalId),
          status: 'tombstone',
          tombVersion: 1_000_000_000_000_000n,
          hi: future,
        };
      case 5:
        return { ...state, aliveAt: future };
      case 6:
        return { ...state, baseHash: null };
      default:
        return { ...state, etag: `${state.externalId}-999` };
    }
  }
}
