import { hash } from 'node:crypto';
import type { Conflict, ConflictOutcome, ConflictPolicy, NewConflict } from '../model/conflict.ts';
import { addMs, BEFORE_ALL, type Instant } from '../model/instant.ts';
import type { Content } from '../model/observation.ts';
import type { RecordState } from '../model/record-state.ts';
import { inOneTransaction, type Refused } from './edit.ts';
import { withTargetKey } from './fold.ts';
import { isSame } from './merge.ts';
import { planRecord, type RecordPlan } from './plan-record.ts';
import type { PushDeps } from './push-deps.ts';
import type { RecordTx } from './record-store.ts';
import { tellOperator } from './tell-operator.ts';

/** Whose value stands, or another one, by property; or one side for all that met, or for the record as a whole. */
export type Resolution =
  | 'local'
  | 'remote'
  | { readonly sides: ReadonlyMap<string, 'local' | 'remote'>; readonly values: Content };

/** `changed`: it is not what the caller has seen: decide anew. `closed`: somebody, or the source, was first. */
export type Resolved =
  | { readonly kind: 'resolved'; readonly pushId: string | null }
  | { readonly kind: 'changed' | 'closed' }
  | { readonly kind: 'impossible'; readonly why: string }
  | Refused;

type ResolveDeps = Pick<PushDeps, 'stream' | 'store' | 'wakePushes' | 'crashPoint'>;

const TAG_BYTES = 16;

/** A strong entity tag: another one whenever something else is to be decided. */
export function conflictTag({ id, kind, fields, base, local, remote, remoteVersion, outcome }: Conflict): string {
  const version = remoteVersion?.toString() ?? null;
  const parts = [id, kind, fields, base, local, remote, version, outcome];
  return `"${hash('sha256', JSON.stringify(parts), 'buffer').subarray(0, TAG_BYTES).toString('base64url')}"`;
}

/**
 * Carries out what a person decides of an open conflict, in one transaction: what the source said last is taken as seen, the
 * row gets the chosen values, and those of ours that stand are pushed. `seen` is the conflict as it was decided upon; where
 * something was seen of the source since, or the row was edited, nothing is done but to bring the conflict up to date.
 */
export async function resolveConflict(
  deps: ResolveDeps,
  seen: Conflict,
  resolution: Resolution,
  correlationId: string,
): Promise<Resolved> {
  const { externalId } = seen;
  const { contentProperties } = deps.stream.target;
  if (seen.outcome !== null) return { kind: 'closed' };
  if (externalId === null) return { kind: 'impossible', why: 'its record is not known at the source' };
  const resolved = await inOneTransaction(deps, async (tx): Promise<Resolved> => {
    const states = await tx.lockStates([externalId]);
    const rows = await tx.lockRows([seen.targetKey]);
    const open = (await tx.openConflicts([seen.targetKey])).get(seen.targetKey);
    const state = states.get(externalId);
    if (open === undefined || open.id !== seen.id || state === undefined) return { kind: 'closed' };
    if (conflictTag(open) !== conflictTag(seen)) return { kind: 'changed' };
    if ((await tx.flightsOf([externalId])).size > 0) return { kind: 'in_flight' };
    const row = rows.get(seen.targetKey) ?? null;
    const edited = editedSince(open, row, contentProperties);
    if (edited !== null) {
      await tx.recordConflicts([edited]);
      return { kind: 'changed' };
    }
    const why = whyImpossible(deps, open, state, row, resolution);
    if (why !== null) return { kind: 'impossible', why };
    const plan = planResolution(deps, { open, state, row, now: await tx.now() }, resolution);
    if (plan.result === 'parked') {
      await tx.recordConflicts(plan.conflicts);
      return { kind: 'changed' };
    }
    const pushId = await carryOut(tx, deps, { open, state, plan }, outcomeOf(open, resolution));
    const reason = `resolved_${outcomeOf(open, resolution)}`;
    await tellOperator(tx, state, { what: 'resolve', decision: 'conflict', reason, correlationId });
    await deps.crashPoint('C21');
    return { kind: 'resolved', pushId };
  });
  if (resolved.kind === 'resolved') deps.wakePushes();
  return resolved;
}

/**
 * The conflict as it is now that the row was edited since: with SQL that is possible while it is open, and no choice may write
 * over a value that nobody has seen, nor that is kept nowhere. Null where the row is as it was.
 */
function editedSince(open: Conflict, row: Content | null, properties: readonly string[]): NewConflict | null {
  const { base, local, remote } = open;
  if (row === null || local === null) {
    if (row === local) return null;
    if (remote === null) return { ...open, local: row };
    if (row === null) return { ...open, kind: 'deleted_here', fields: [], local: null };
    const fields = properties.filter(
      (property) => !isSame(row[property], remote[property]) && !isSame(base?.[property], remote[property]),
    );
    return { ...open, kind: 'both_changed', fields, local: row };
  }
  // Of a record that is gone all of the row is decided.
  const decided = remote === null ? properties : open.fields;
  return decided.every((property) => isSame(row[property], local[property])) ? null : { ...open, local: row };
}

/** A choice that the source cannot be told, or that is none for this conflict; null when nothing speaks against it. */
function whyImpossible(
  { stream: { twoWay } }: ResolveDeps,
  { fields }: Conflict,
  { status }: RecordState,
  row: Content | null,
  resolution: Resolution,
): string | null {
  if (row !== null && status === 'live') {
    if (typeof resolution === 'string') return null;
    const missing = fields.filter((field) => !resolution.sides.has(field));
    if (missing.length > 0) return `the choice leaves out ${missing.join(', ')}`;
    const isOther = [...resolution.sides.keys()].some((property) => !fields.includes(property));
    return isOther ? `the choice names more than what is to be decided: ${fields.join(', ')}` : null;
  }
  if (typeof resolution === 'object') return 'the record is gone on one side: choose `local` or `remote` for all of it';
  if (resolution === 'remote') return null;
  if (status !== 'live' && twoWay.writes.create === null)
    return 'the definition says no `write.create`: it cannot be created again';
  const isCarried =
    twoWay.localDeletes === 'detach' || (twoWay.writes.delete !== null && twoWay.localDeletes === 'push');
  if (status === 'live' && !isCarried)
    return 'removals are not carried to the source: choose `remote`, and delete it there';
  return null;
}

type Subject = {
  readonly open: Conflict;
  readonly state: RecordState;
  readonly row: Content | null;
  readonly now: Instant;
};

/** The merge that was put off, from where it began, with the choice in place of the policies. */
function planResolution(
  { stream: { twoWay, target, mapper } }: ResolveDeps,
  { open, state, row, now }: Subject,
  resolution: Resolution,
): RecordPlan {
  const sideOf = (property: string): ConflictPolicy => {
    const side = typeof resolution === 'string' ? resolution : resolution.sides.get(property);
    if (side === undefined) return twoWay.policyOf(property);
    return side === 'local' ? 'target_wins' : 'source_wins';
  };
  const content = state.status === 'live' ? open.remote : null;
  const values = typeof resolution === 'string' ? {} : resolution.values;
  // Of a row that was removed the choice says what its removal means, not the definition.
  const chosen =
    resolution === 'local'
      ? ({ recordPolicy: 'target_wins' } as const)
      : ({ recordPolicy: 'source_wins', localDeletes: 'restore' } as const);
  return planRecord({
    twoWay: { ...twoWay, policyOf: sideOf, ...chosen },
    properties: target.contentProperties,
    before: state,
    next:
      content === null
        ? { ...state, appliedSeq: state.appliedSeq + 1 }
        : withTargetKey({ target }, seenState(state, open, content, mapper.hashOf(content), now)),
    content,
    row: row === null ? null : { key: open.targetKey, content: { ...row, ...values } },
    open,
    remoteAt: null,
    localAt: null,
    choice: typeof resolution === 'string' ? resolution : null,
  });
}

/** Where the record was seen after the state was stored, that sighting's interval is not known: it is taken as wide as can be. */
function seenState(state: RecordState, open: Conflict, base: Content, baseHash: string, now: Instant): RecordState {
  const isStored = state.baseHash === baseHash;
  const version = open.remoteVersion ?? state.version;
  const seen = isStored ? {} : { etag: null, lo: BEFORE_ALL, hi: now };
  return { ...state, ...seen, base, baseHash, version, appliedSeq: state.appliedSeq + 1 };
}

async function carryOut(
  tx: RecordTx,
  { stream }: ResolveDeps,
  { open, state, plan }: { readonly open: Conflict; readonly state: RecordState; readonly plan: RecordPlan },
  outcome: ConflictOutcome,
): Promise<string | null> {
  const stored = await write(tx, plan);
  await tx.saveStates([{ ...plan.stateOf(stored), localVersion: state.localVersion + 1 }]);
  await tx.closeConflict(open.id, outcome, 'operator');
  // What met is in the resolved one; only what else was overwritten is told beside it.
  await tx.recordConflicts(plan.conflicts.filter(({ fields }) => fields.some((field) => !open.fields.includes(field))));
  if (plan.pushes === null) {
    await tx.dropPushes([open.targetKey]);
    await tx.dropParked([open.targetKey]);
    return null;
  }
  const editedAt = await tx.now();
  const runAt = addMs(editedAt, stream.twoWay.debounceMs);
  const externalId = state.status === 'live' ? state.externalId : null;
  const pushes = await tx.ensurePushes([{ targetKey: plan.pushes, externalId, edits: 1, runAt, editedAt }]);
  return pushes.get(plan.pushes) ?? null;
}

async function write(tx: RecordTx, { write: wanted }: RecordPlan): Promise<Content | null> {
  switch (wanted.kind) {
    case 'put': {
      const [stored] = (await tx.writeRows([wanted.content])).values();
      return stored ?? null;
    }
    case 'rekey':
      return await tx.rekeyRow(wanted.from, wanted.content);
    case 'remove':
      await tx.removeRows([wanted.key]);
      return null;
    default:
      return null;
  }
}

function outcomeOf({ fields }: Conflict, resolution: Resolution): ConflictOutcome {
  if (typeof resolution === 'string') return resolution;
  const sides = new Set(fields.map((field) => resolution.sides.get(field)));
  const [side] = sides;
  return sides.size === 1 && side !== undefined ? side : 'mixed';
}
