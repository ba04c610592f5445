import type { NewConflict } from '../model/conflict.ts';
import type { Content } from '../model/observation.ts';
import type { FieldConflict } from './merge.ts';
import { pick } from './pick.ts';

/** What the record held on each side before the merge. */
type Sides = { readonly base: Content | null; readonly local: Content; readonly remote: Content };

/** The conflicts of a merge as they are kept: one for all properties that ended alike, with their values on each side. */
export function keptConflicts(
  conflicts: readonly FieldConflict[],
  of: Pick<NewConflict, 'externalId' | 'targetKey' | 'remoteVersion'>,
  { base, local, remote }: Sides,
): NewConflict[] {
  const groups = new Map<string, readonly [Omit<FieldConflict, 'property'>, string[]]>();
  for (const { property, ...ended } of conflicts) {
    const name = `${ended.kind} ${ended.policy} ${ended.outcome}`;
    const known = groups.get(name);
    if (known === undefined) groups.set(name, [ended, [property]]);
    else known[1].push(property);
  }
  return [...groups.values()].map(([ended, fields]) => ({
    ...of,
    ...ended,
    fields,
    base: base === null ? null : pick(base, fields),
    local: pick(local, fields),
    remote: pick(remote, fields),
  }));
}
