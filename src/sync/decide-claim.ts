import type { Content } from '../model/observation.ts';
import type { ParkReason, Push } from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import type { DeleteHold } from '../store/streams.ts';
import { dirtyProperties, isWhole } from './merge.ts';
import { pick } from './pick.ts';
import { ifMatchOf } from './push-request.ts';
import type { TwoWay } from './two-way.ts';

export type ClaimInput = {
  readonly twoWay: TwoWay;
  /** Content properties of the target. */
  readonly properties: readonly string[];
  readonly push: Push;
  /** Of the record that lives in the row, locked; null where none does. */
  readonly state: RecordState | null;
  /** Locked; null where there is none. */
  readonly row: Content | null;
  readonly hasOpenConflict: boolean;
  /** Calls for the row within the time of its budget. */
  readonly calls: number;
  readonly deleteHold: DeleteHold;
};

/** What a ready push means now. Its content is never what was planned, always what the row holds. */
export type Claim =
  /** There is nothing to send; edits of read-only properties (`undo`) are taken back. */
  | { readonly kind: 'drop'; readonly undo: readonly string[] }
  /** A person decides first. */
  | { readonly kind: 'leave' }
  | { readonly kind: 'park'; readonly reason: ParkReason; readonly words: string }
  /** The row that was removed is written again. */
  | { readonly kind: 'restore'; readonly content: Content }
  /** Nobody knows how the source holds it: it is read first. */
  | { readonly kind: 'reread' }
  | {
      readonly kind: 'call';
      readonly op: Push['op'];
      readonly externalId: string | null;
      /** What was edited. */
      readonly patch: Content | null;
      /** What is sent: that, or every writable property. */
      readonly content: Content | null;
      readonly ifMatch: string | null;
      readonly undo: readonly string[];
    };

const NOTHING: Claim = { kind: 'drop', undo: [] };

/** Decides a ready push on what its locks show. Pure. */
export function decideClaim(input: ClaimInput): Claim {
  if (input.hasOpenConflict) return { kind: 'leave' };
  const { state, row } = input;
  const isLive = state?.status === 'live';
  if (!isLive) return row === null ? NOTHING : decideCreate(input, row);
  const { shadow } = state;
  // No row of it was ever stored, so none was removed either; and any difference could be the source's.
  if (shadow === null) return { kind: 'reread' };
  if (row === null) return decideRemoval(input, state, shadow);
  // A property is mapped since the record was stored: how the source holds it would be overwritten unseen.
  if (!isWhole(state, input.properties)) return { kind: 'reread' };
  return decideUpdate(input, state, shadow, row);
}

function decideCreate(input: ClaimInput, row: Content): Claim {
  const { writes, creatable } = input.twoWay;
  if (writes.create === null) {
    const words = 'the row has no record at the source, and the source takes no create of this entity';
    return { kind: 'park', reason: 'cannot_settle', words };
  }
  const patch = pick(row, creatable);
  return withinBudget(input, {
    kind: 'call',
    op: 'create',
    externalId: null,
    patch,
    content: patch,
    ifMatch: null,
    undo: [],
  });
}

function decideRemoval(input: ClaimInput, state: RecordState, shadow: Content): Claim {
  const { localDeletes, writes } = input.twoWay;
  const { isHeld, releasedAt } = input.deleteHold;
  const { editedAt } = input.push;
  const isReleased = releasedAt !== null && editedAt !== null && editedAt <= releasedAt;
  if (isHeld && !isReleased) {
    const words = 'so many rows were removed at once that a person has to say whether they were meant to be';
    return { kind: 'park', reason: 'mass_delete', words };
  }
  if (localDeletes === 'detach') return NOTHING;
  if (localDeletes === 'restore' || writes.delete === null) return { kind: 'restore', content: shadow };
  return withinBudget(input, {
    kind: 'call',
    op: 'delete',
    externalId: state.externalId,
    patch: null,
    content: null,
    ifMatch: ifMatchOf(writes.delete, state),
    undo: [],
  });
}

function decideUpdate(input: ClaimInput, state: RecordState, shadow: Content, row: Content): Claim {
  const { writes, writable } = input.twoWay;
  const dirty = dirtyProperties(row, shadow, input.properties);
  const undo = dirty.filter((property) => !writable.has(property));
  const sent = new Set(dirty.filter((property) => writable.has(property)));
  if (sent.size === 0) return { kind: 'drop', undo };
  if (writes.update === null) return { kind: 'drop', undo: dirty };
  return withinBudget(input, {
    kind: 'call',
    op: 'update',
    externalId: state.externalId,
    patch: pick(row, sent),
    content: pick(row, writes.update.sends === 'record' ? writable : sent),
    ifMatch: ifMatchOf(writes.update, state),
    undo,
  });
}

function withinBudget({ twoWay: { budget }, calls }: ClaimInput, call: Claim): Claim {
  if (calls < budget.calls) return call;
  const words = `${calls} calls for one row within ${budget.perMs / 1_000} s: something here edits it at each of our writes`;
  return { kind: 'park', reason: 'loop_suspected', words };
}
