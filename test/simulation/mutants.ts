import type { Observation } from '../../src/model/observation.ts';
import { blankState, type RecordState } from '../../src/model/record-state.ts';
import type { RecordTx } from '../../src/sync/record-store.ts';
import { settleCursor } from '../../src/sync/settle-cursor.ts';
import type { TwoWay } from '../../src/sync/two-way.ts';
import type { Configuration } from './configuration.ts';
import type { Rules } from './worker.ts';

/** A rule left out, to show that the checkers notice. Nothing of this is part of a build. */
export type Mutant = {
  readonly name: string;
  readonly rules?: Partial<Rules>;
  readonly wrapTx?: (tx: RecordTx) => RecordTx;
  readonly twoWay?: Partial<TwoWay>;
  /** Where the rule matters at all; default: everywhere. */
  readonly matters?: (configuration: Configuration) => boolean;
};

const isTie = (seen: Observation, state: RecordState): boolean =>
  seen.version !== null && seen.version === state.version && seen.content !== null && seen.hash !== state.baseHash;

const wrapStates =
  (change: (state: RecordState) => RecordState) =>
  (tx: RecordTx): RecordTx => ({
    ...tx,
    async lockStates(ids) {
      return new Map([...(await tx.lockStates(ids))].map(([id, state]) => [id, change(state)]));
    },
    async readStates(ids) {
      return new Map([...(await tx.readStates(ids))].map(([id, state]) => [id, change(state)]));
    },
  });

/** Mutants of the way in. */
export const INBOUND_MUTANTS: readonly Mutant[] = [
  {
    name: 'no order check',
    rules: { see: (seen, { hi }) => ({ ...seen, version: null, etag: null, lo: Math.max(seen.lo, hi + 1) }) },
  },
  {
    name: 'no tombstone check',
    wrapTx: wrapStates((state) =>
      state.status === 'tombstone' ? { ...blankState(state.externalId), appliedSeq: state.appliedSeq } : state,
    ),
  },
  {
    name: 'tie taken as newer',
    rules: { see: (seen, state) => (isTie(seen, state) ? { ...seen, lo: Math.max(seen.lo, state.hi + 1) } : seen) },
    matters: ({ shape }) => shape.versionKind === 'timestamp',
  },
  {
    name: 'tie taken as older',
    rules: { see: (seen, state) => (isTie(seen, state) ? null : seen) },
    matters: ({ shape }) => shape.versionKind === 'timestamp',
  },
  { name: 'a page is as new as its answer', rules: { pageLo: 'response' } },
  {
    name: 'sweep without reads',
    rules: { sweep: 'deletes' },
    // Where what a list leaves out may be there for all that.
    matters: ({ shape }) => shape.paging === 'offset',
  },
  { name: 'sweep without reads or evidence', rules: { sweep: 'deletes_without_evidence' } },
  { name: 'any read satisfies a hint', rules: { isSatisfied: () => true } },
  {
    name: 'a 404 is for ever',
    rules: { see: (seen, { status }) => (status === 'tombstone' && seen.content !== null ? null : seen) },
  },
  { name: 'deliveries known by their bytes', rules: { dedupesBy: 'body' } },
  {
    name: 'the cursor is the greatest key seen',
    rules: {
      settleCursor: (stream, ended) => {
        const { cursor, marks } = settleCursor(stream, ended);
        const { maxKey } = ended;
        return { cursor: maxKey !== null && (cursor === null || maxKey > cursor) ? maxKey : cursor, marks };
      },
    },
    matters: ({ ending }) => ending === 'incremental',
  },
  {
    name: 'the cursor is the present',
    rules: {
      settleCursor: (stream, ended) => ({
        cursor: stream.caps.versionKind === 'timestamp' ? BigInt(Math.trunc(ended.now)) : (ended.maxKey ?? 0n) + 1n,
        marks: [],
      }),
    },
    matters: ({ ending }) => ending === 'incremental',
  },
  {
    name: 'the checkpoint is saved before its page',
    rules: { savesCheckpointFirst: true },
    matters: ({ ending }) => ending !== 'hooks',
  },
];
