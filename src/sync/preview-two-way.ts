import type { Outcome, Sighted } from '../model/apply.ts';
import type { Instant } from '../model/instant.ts';
import { blankState } from '../model/record-state.ts';
import type { ApplyStream } from './apply-two-way.ts';
import { foldRecord, groupById, keyOf } from './fold.ts';
import { type Landing, planLanding, told } from './land-records.ts';
import { dirtyProperties } from './merge.ts';
import type { RecordTx } from './record-store.ts';

/**
 * What `applyTwoWay` would do, by the same decisions, locking and writing nothing. Rows that were edited here and not pushed
 * yet count as `repair`. @returns an outcome for each sighting, in the order given.
 */
export async function previewTwoWay(
  tx: RecordTx,
  stream: ApplyStream,
  sightings: readonly Sighted[],
  now: Instant,
): Promise<Outcome[]> {
  const groups = groupById(sightings);
  const known = await tx.readStates([...groups.keys()]);
  const landings = [...groups].map(([id, group]): Landing => {
    const before = known.get(id) ?? blankState(id);
    return { before, folded: foldRecord(stream, before, group, now) };
  });
  const keys = [...new Set(landings.flatMap(({ before, folded }) => [keyOf(before), keyOf(folded.state ?? before)]))];
  const rows = await tx.readRows(keys);
  const conflicts = await tx.openConflicts(keys);
  const outcomes = new Map<Sighted, Outcome>();
  for (const landing of landings) {
    const { before, folded } = landing;
    const row = rows.get(keyOf(before));
    const isUnlinked = before.status === 'live' && before.shadow === null;
    const planned =
      folded.effect !== null || isUnlinked ? planLanding(stream, landing, { rows, conflicts, edits: new Map() }) : null;
    const isEdited =
      before.shadow !== null &&
      (row === undefined || dirtyProperties(row, before.shadow, stream.target.contentProperties).length > 0);
    for (const [sighted, outcome] of (planned === null ? folded : told(planned)).outcomes) {
      outcomes.set(sighted, outcome.kind === 'noop' && isEdited ? { kind: 'repair' } : outcome);
    }
  }
  return sightings.map((sighted) => outcomes.get(sighted) ?? { kind: 'noop' });
}
