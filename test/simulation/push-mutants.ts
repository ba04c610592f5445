import type { Content } from '../../src/model/observation.ts';
import type { RecordState } from '../../src/model/record-state.ts';
import type { RecordTx } from '../../src/sync/record-store.ts';
import type { Configuration } from './configuration.ts';
import { INBOUND_MUTANTS, type Mutant } from './mutants.ts';
import { keyOf, WRITABLE } from './shape.ts';

const isTwoWay = ({ twoWay }: Configuration): boolean => twoWay !== null;
const hasKeys = ({ shape, twoWay }: Configuration): boolean => twoWay !== null && shape.idempotencyTtlMs !== null;

const nothingInFlight = (tx: RecordTx): RecordTx => ({
  ...tx,
  flightsOf: async () => new Map(),
  openCreates: async () => ({ oldestCallAt: null, named: [] }),
});

const asWritten = (contents: readonly Content[]): Map<string, Content> =>
  new Map(contents.map((content) => [keyOf(content), content]));

/** All that can be written of it looks edited. */
function dirtied(state: RecordState): RecordState {
  if (state.shadow === null) return state;
  const shadow: Record<string, Content[string]> = { ...state.shadow };
  for (const field of WRITABLE) shadow[field] = 'never';
  return { ...state, shadow };
}

/** A claim looks for its records by their rows first, and takes no captured edits. */
function dirtyClaims(tx: RecordTx): RecordTx {
  let isClaim = false;
  return {
    ...tx,
    async takeLocalChanges(limit, order) {
      isClaim = false;
      return await tx.takeLocalChanges(limit, order);
    },
    async findByTargetKey(keys) {
      isClaim = true;
      return await tx.findByTargetKey(keys);
    },
    async lockStates(ids) {
      const states = await tx.lockStates(ids);
      return isClaim ? new Map([...states].map(([id, state]) => [id, dirtied(state)])) : states;
    },
    async saveStates(states) {
      const kept = await tx.readStates(states.map(({ externalId }) => externalId));
      // Only the decision is mistaken: what is stored stays as it was.
      await tx.saveStates(
        states.map((state) =>
          state.shadow?.a === 'never' ? { ...state, shadow: kept.get(state.externalId)?.shadow ?? null } : state,
        ),
      );
    },
  };
}

const retryBlindly = (tx: RecordTx): RecordTx => ({
  ...tx,
  async finishPush(push, move) {
    if (move.to !== 'unknown') return await tx.finishPush(push, move);
    await tx.finishPush(push, { ...move, to: 'again', attempt: push.attempt });
  },
  async claimUnknown(limit, leaseMs) {
    const held = await tx.claimUnknown(limit, leaseMs);
    const runAt = await tx.now();
    for (const push of held)
      await tx.finishPush(push, { to: 'again', runAt, attempt: push.attempt, errorCode: null, error: null });
    return [];
  },
});

/** Mutants of the way out. */
export const PUSH_MUTANTS: readonly Mutant[] = [
  { name: 'no waiting for a push in flight', wrapTx: nothingInFlight, matters: isTwoWay },
  {
    name: 'no waiting for a create in flight',
    wrapTx: (tx) => ({ ...tx, openCreates: async () => ({ oldestCallAt: null, named: [] }) }),
    matters: isTwoWay,
  },
  {
    name: 'what looks like our write is skipped',
    rules: {
      see: (seen, _state, tokens) =>
        tokens.some(({ state, resultHash }) => state === 'confirmed' && seen.hash !== null && resultHash === seen.hash)
          ? null
          : seen,
    },
    matters: isTwoWay,
  },
  {
    name: 'the shadow is what was written',
    wrapTx: (tx) => ({
      ...tx,
      async writeRows(contents) {
        await tx.writeRows(contents);
        return asWritten(contents);
      },
      rekeyRow: async (key, content) => ((await tx.rekeyRow(key, content)) === null ? null : content),
    }),
    matters: ({ twoWay }) => twoWay?.tableNormalises === true,
  },
  {
    name: 'what the source made of a value is not written back',
    rules: {
      answer: (write, record) =>
        record === null ? null : { ...record, fields: { ...record.fields, ...write.fields } },
    },
    matters: ({ shape, twoWay }) => twoWay !== null && shape.normalises,
  },
  { name: 'a push sends what was not edited', wrapTx: dirtyClaims, matters: isTwoWay },
  { name: 'writes of unknown outcome are sent anew', wrapTx: retryBlindly, matters: isTwoWay },
  {
    name: 'a key is used for other bytes',
    rules: {
      send: (write) => ({ ...write, key: `${write.op} ${write.id ?? String(write.fields.ref)}`, bytes: '' }),
    },
    matters: hasKeys,
  },
  {
    name: 'no look at the deadline',
    rules: { checksDeadline: false },
    matters: ({ twoWay, shape }) => twoWay !== null && shape.idempotencyTtlMs === null,
  },
  {
    name: 'a create of unknown outcome is sent anew',
    twoWay: { mayDuplicateCreates: true },
    matters: ({ twoWay, shape }) => twoWay !== null && shape.idempotencyTtlMs === null && !shape.hasMarker,
  },
  {
    name: 'removals are never held back',
    wrapTx: (tx) => ({ ...tx, deleteHold: async () => ({ isHeld: false, releasedAt: null }) }),
    matters: ({ twoWay }) => twoWay?.userDeletes === 'masses',
  },
  {
    name: 'no budget of calls',
    twoWay: { budget: { calls: Number.POSITIVE_INFINITY, perMs: 1 } },
    matters: ({ twoWay }) => twoWay?.tableEdits === true,
  },
];

export const MUTANTS: readonly Mutant[] = [...INBOUND_MUTANTS, ...PUSH_MUTANTS];

export function mutantOf(name: string): Mutant {
  const found = MUTANTS.find((mutant) => mutant.name === name);
  if (found === undefined) throw new Error(`No mutant is named "${name}"`);
  return found;
}
