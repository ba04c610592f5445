import type { Conflict } from '../../src/model/conflict.ts';
import type { JsonValue } from '../../src/model/json.ts';
import type { ParkedFilter } from '../../src/model/push.ts';
import { discardDeletes, releaseDeletes } from '../../src/sync/held-deletes.ts';
import { discardParked, retryParked } from '../../src/sync/parked-in-bulk.ts';
import { type Resolution, resolveConflict } from '../../src/sync/resolve-conflict.ts';
import { pushDepsOf } from './pushes.ts';
import type { Random } from './random.ts';
import { isWritable } from './shape.ts';
import type { Tables } from './tables.ts';
import type { WorkerDeps } from './worker.ts';

/** Steps of others at most while she makes up her mind. */
const MAX_THOUGHTS = 8;
const WHO = 'the operator';
const FORBIDDEN: ParkedFilter = { reason: 'refused', errorCode: 'forbidden' };
const BULK = { correlationId: WHO, stopping: new AbortController().signal };

/** Decides open conflicts, removals that are held back and writes that were not allowed, each some time after she has looked at it. */
export async function runOperator(deps: WorkerDeps): Promise<never> {
  const { actor, tables, random, figures } = deps;
  const push = pushDepsOf(deps);
  for (;;) {
    await actor.idle(() => isAsked(tables));
    const seen = openOf(tables);
    const isForbidden = hasForbidden(tables);
    for (let thought = random.below(MAX_THOUGHTS); thought > 0; thought--) await actor.gate('thinks');
    if (isForbidden && (seen.length === 0 || random.chance(0.5))) {
      const { done } = await (random.chance(0.8) ? retryParked : discardParked)(push, FORBIDDEN, BULK);
      figures.count('parked writes that were operated on', done);
      continue;
    }
    if (seen.length === 0) {
      await (random.chance(0.5) ? releaseDeletes(push, WHO) : discardDeletes(push, WHO));
      continue;
    }
    const conflict = random.pick(seen);
    let { kind } = await resolveConflict(push, conflict, draw(conflict, random), WHO);
    if (kind === 'impossible') ({ kind } = await resolveConflict(push, conflict, 'remote', WHO));
    figures.count(`resolution ${kind}`);
  }
}

const openOf = ({ conflicts }: Tables): Conflict[] => conflicts.values().filter(({ outcome }) => outcome === null);

const hasForbidden = (tables: Tables): boolean =>
  tables.pushes.values().some(({ state, errorCode }) => state === 'parked' && errorCode === FORBIDDEN.errorCode);

const isAsked = (tables: Tables): boolean =>
  hasForbidden(tables) ||
  tables.progress.get().heldDeletes !== null ||
  openOf(tables).some(({ externalId }) => externalId !== null);

/** One side for all of it, or a side for each property, with a value of her own for some. */
function draw({ fields, remote, local }: Conflict, random: Random): Resolution {
  const isByProperty = fields.length > 0 && remote !== null && local !== null && random.chance(0.5);
  if (!isByProperty) return random.chance(0.5) ? 'local' : 'remote';
  const sides = new Map(fields.map((field) => [field, random.chance(0.5) ? ('local' as const) : ('remote' as const)]));
  const values: Record<string, JsonValue> = {};
  for (const [field, side] of sides)
    if (side === 'local' && isWritable(field) && random.chance(0.4))
      values[field] = field === 'n' ? random.below(6) : `o${random.below(1_000_000)}`;
  return { sides, values };
}
