import type { ChangeToken } from '../model/change-token.ts';
import type { Conflict, ConflictOutcome, NewConflict } from '../model/conflict.ts';
import type { NewHint } from '../model/hint.ts';
import type { Instant } from '../model/instant.ts';
import type { LocalChange } from '../model/local-change.ts';
import type { Content, Observation } from '../model/observation.ts';
import type {
  HeldPush,
  NamedPush,
  Order,
  ParkedFilter,
  ParkReason,
  Push,
  PushWish,
  SavedRequest,
} from '../model/push.ts';
import type { RecordState } from '../model/record-state.ts';
import type { Settled } from '../store/dead-letters.ts';
import type { HistoryEntry } from '../store/record-history.ts';
import type { DeleteHold } from '../store/streams.ts';
import type { OpenCreates } from './in-flight.ts';

/**
 * What the two-way flows ask of the database, for one stream, inside one transaction. `openRecordTx` carries it out in SQL;
 * the simulation puts a store in memory in its place, so that the very same flows run in both.
 *
 * Locks are always taken in this order: record states (by id), rows of the target (by key), everything else.
 */
export type RecordTx = {
  /** The database's clock, not the transaction's start. */
  readonly now: () => Promise<Instant>;

  /** States of these records as committed, not locked: nothing may be decided by them for good. Those never seen are not in the map. */
  readonly readStates: (ids: readonly string[]) => Promise<ReadonlyMap<string, RecordState>>;
  /** States of these records, locked in the order of their ids. Those never seen come as `none`, and are locked as well. */
  readonly lockStates: (ids: readonly string[]) => Promise<ReadonlyMap<string, RecordState>>;
  readonly saveStates: (states: readonly RecordState[]) => Promise<void>;
  /** Ids of the records that live in these rows: states `live` (or kept by a conflict) whose target key it is. */
  readonly findByTargetKey: (targetKeys: readonly string[]) => Promise<ReadonlyMap<string, string>>;

  /**
   * Whether rows may be compared with how their records were stored. Not where the table, or a column of it, was made anew and
   * is not taken up yet. Once rows are locked that stays so until the transaction ends.
   */
  readonly isTableKnown: () => Promise<boolean>;
  /** As `lockRows`, but neither locks nor waits. */
  readonly readRows: (targetKeys: readonly string[]) => Promise<ReadonlyMap<string, Content>>;
  /** Those of the keys under which a row stands, also one that is stamped as deleted; such rows are locked. */
  readonly takenKeys: (targetKeys: readonly string[]) => Promise<ReadonlySet<string>>;
  /**
   * Rows by key as canonical content, locked. Missing rows are not in the map, nor are those that are stamped as deleted:
   * who stamps a row has removed it. Throws a lock time-out.
   */
  readonly lockRows: (targetKeys: readonly string[]) => Promise<ReadonlyMap<string, Content>>;
  /**
   * Inserts or updates rows, as our own writes (not captured). Of a row that stands only the columns are set whose values
   * change: the others may hold more than we read of them. Unchanged rows are not written. @returns every one of them as
   * the table now holds it, by key: a trigger of the user's may have changed what was written, or kept a row out. Rows that were not locked
   * before are locked first. Throws what counts as a lock time-out when a row has come to stand where there was none.
   */
  readonly writeRows: (contents: readonly Content[]) => Promise<ReadonlyMap<string, Content>>;
  /** Removes rows, or stamps them as deleted, as our own writes. */
  readonly removeRows: (targetKeys: readonly string[]) => Promise<void>;
  /** Gives a row its new key and content in one write of ours. @returns it as stored; null when there is no such row. */
  readonly rekeyRow: (targetKey: string, content: Content) => Promise<Content | null>;

  /** Captured edits, removed as they are taken: never read by id, since ids become visible out of order. */
  readonly takeLocalChanges: (limit: number, order?: Order) => Promise<readonly LocalChange[]>;

  /** Pushes in flight (`calling`, `unknown`) of these records. */
  readonly flightsOf: (ids: readonly string[]) => Promise<ReadonlyMap<string, Push>>;
  /** Pushes in flight of these rows, by key: also creates, whose records have no id yet. */
  readonly flightsIn: (targetKeys: readonly string[]) => Promise<ReadonlyMap<string, Push>>;
  /**
   * Creates that are not settled: since when any is under way (`calling`, `unknown`), those of these rows that are, and those
   * of these tokens, be they parked, as long as no echo of them was kept.
   */
  readonly openCreates: (of: {
    readonly targetKeys: readonly string[];
    readonly tokenIds: readonly string[];
  }) => Promise<OpenCreates>;
  /** Those of these rows of which a push is open (ready, in flight or parked), or a conflict. */
  readonly openOf: (targetKeys: readonly string[]) => Promise<ReadonlySet<string>>;
  /** When these rows were last edited, as far as captured, not yet sent, and known. Only asked where the newest value wins. */
  readonly lastEditsOf: (targetKeys: readonly string[]) => Promise<ReadonlyMap<string, Instant>>;
  /**
   * Makes sure that a ready push of each row exists: edits add up, the earliest `runAt` and the latest `editedAt` stay.
   * @returns the ids of those pushes, by target key.
   */
  readonly ensurePushes: (wishes: readonly PushWish[]) => Promise<ReadonlyMap<string, string>>;
  /** The ready push of a row goes with it to its new key, and is a record's from then on; it joins one that is there already. */
  readonly movePush: (from: string, to: string, externalId: string) => Promise<void>;
  /** Ends ready pushes of these rows: there is nothing left to send. */
  readonly dropPushes: (targetKeys: readonly string[]) => Promise<void>;
  /**
   * Due ready pushes that nothing stands in the way of, longest due first, not locked: states and rows are locked before
   * them. In the way stand a push in flight of the same row, an open conflict of it, a create of it that is parked though
   * the source may have it (`create_unknown`, `cannot_settle`), and a source that is paused or asked for a wait.
   */
  readonly duePushes: (limit: number, order?: Order) => Promise<readonly Push[]>;
  /**
   * Those of the named pushes that are still ready, locked; those locked elsewhere are left out, and those in whose way
   * something has come since they were found due: a request of the same row may have begun while its state was waited for.
   */
  readonly lockReady: (ids: readonly string[]) => Promise<readonly Push[]>;
  /**
   * `unknown` pushes that are due or whose token has caught an echo, and `calling` ones whose lease has run out, which become
   * `unknown`; held from now on, an attempt more. While the source is paused or asked for a wait only those with an echo, which
   * need no request; none while the table cannot be written.
   */
  readonly claimUnknown: (limit: number, leaseMs: number) => Promise<readonly HeldPush[]>;
  /** Its request may be sent once more until then. @returns false when the lease was lost. */
  readonly moveDeadline: (push: HeldPush, deadline: Instant) => Promise<boolean>;
  /** A locked ready push becomes `calling`, with all that its request needs, and is held. */
  readonly startCall: (push: Push, call: StartedCall) => Promise<HeldPush>;
  /**
   * A new push that carries a request's values (`call.patch`) begins as `calling`, held. @returns null when another push of
   * the row is in flight.
   */
  readonly startRequest: (targetKey: string, call: StartedCall) => Promise<HeldPush | null>;
  /** Any push by its id, locked until the transaction ends; null when there is none. */
  readonly lockPush: (id: string) => Promise<Push | null>;
  /**
   * Parked pushes that were there at a moment, in the order of their ids, after one (null: from the first), not locked: states
   * and rows are locked before them.
   */
  readonly parkedPushes: (
    filter: ParkedFilter,
    page: { readonly until: Instant; readonly after: string | null; readonly limit: number },
  ) => Promise<readonly NamedPush[]>;
  /** Locks a held push again. @returns as it stands; null when the lease was lost: roll back and forget the answer. */
  readonly lockHeld: (push: HeldPush) => Promise<HeldPush | null>;
  /** A locked push moves on. It ends the hold. Nobody looks for a write whose push is over: a pending token is rejected. */
  readonly finishPush: (push: Push, move: PushMove) => Promise<void>;
  /** Ends parked pushes of these rows, as `finishPush` does: what they could not bring is there, or no longer wanted. */
  readonly dropParked: (targetKeys: readonly string[]) => Promise<void>;
  /**
   * How many calls for each of these rows were started since a moment, or since a person let a loop go on, without those
   * that the source surely did not carry out: what their budget counts.
   */
  readonly countCalls: (targetKeys: readonly string[], since: Instant) => Promise<ReadonlyMap<string, number>>;
  /** Creates of this row that were sent again (`SENT_AGAIN`) though nobody knew what had become of them. */
  readonly countSentAgain: (targetKey: string) => Promise<number>;

  readonly insertToken: (token: ChangeToken) => Promise<void>;
  readonly saveToken: (token: ChangeToken) => Promise<void>;
  readonly readToken: (id: string) => Promise<ChangeToken | null>;
  /** Tokens of these records that have not expired, newest first, bounded for each record. */
  readonly tokensOf: (ids: readonly string[]) => Promise<ReadonlyMap<string, readonly ChangeToken[]>>;
  /**
   * Keeps the first sighting that matched a write which is not settled, to settle it by; of a rejected token nothing changes.
   * A create that is parked goes back to `unknown` for that.
   */
  readonly keepEcho: (tokenId: string, seen: Observation) => Promise<void>;
  /** Counts one more echo for each of these tokens. Waits for nobody: a count may be lost. */
  readonly countEchoes: (tokenIds: readonly string[]) => Promise<void>;

  /** Open conflicts (without outcome) of these rows. */
  readonly openConflicts: (targetKeys: readonly string[]) => Promise<ReadonlyMap<string, Conflict>>;
  /** Keeps what met. One that is open for the row already is brought up to date instead. */
  readonly recordConflicts: (conflicts: readonly NewConflict[]) => Promise<void>;
  readonly closeConflict: (id: string, outcome: ConflictOutcome, by: string) => Promise<void>;

  /** What a client's idempotency key stands for; null when it is new, or older than a day. */
  readonly findEditKey: (keyHash: string) => Promise<EditKey | null>;
  /**
   * Keeps it for a day, in place of the key's former push, where one is named. Waits for a rival's. @returns false when the
   * key stands for something else already: roll back.
   */
  readonly saveEditKey: (key: EditKey, formerPushId: string | null) => Promise<boolean>;

  /** Asks for reads by id; owes a full run where nothing can be read by id. */
  readonly wantReads: (hints: readonly NewHint[]) => Promise<void>;
  readonly appendHistory: (entries: readonly HistoryEntry[]) => Promise<void>;
  /** Closes open dead letters that these sightings answer. */
  readonly supersede: (settled: readonly Settled[]) => Promise<void>;
  /** Removals of rows are held back for a person: what is planned of them is parked. */
  readonly holdDeletes: (reason: string) => Promise<void>;
  readonly deleteHold: () => Promise<DeleteHold>;
  /** Locked: of two that count removals to see whether to hold them, the second sees those of the first. */
  readonly lockDeleteHold: () => Promise<DeleteHold>;
  /** Lets removals that were captured until now go on for good; later ones are held back as before. @returns that moment. */
  readonly releaseDeletes: () => Promise<Instant>;
  readonly liftDeletes: () => Promise<void>;
  /**
   * How many rows were removed after a moment, of those for which pushes were planned, whatever became of them, but for requests
   * that the source surely did not carry out: those removed nothing.
   */
  readonly countRemovals: (since: Instant) => Promise<number>;
  /**
   * How many live records miss the row that was stored of them, counted up to `atMost`; without those whose removal was
   * planned until `since` and has not come through.
   */
  readonly countMissing: (of: { readonly since: Instant; readonly atMost: number }) => Promise<number>;
  /**
   * Live records whose row was stored and is not in the table, or of which a removal is parked as held back; without those of
   * open conflicts, and those of which the removal was sent or, with `letGoUntil`, let go on until that moment. In the order
   * of their ids, after an id (null: from the first).
   */
  readonly openRemovals: (page: RemovalPage) => Promise<readonly OpenRemoval[]>;
  readonly countLive: () => Promise<number>;
  /** The source refuses our credentials: everything but webhooks waits. */
  readonly pauseForAuth: (detail: string) => Promise<void>;
  /** Nothing is sent to the source before this moment, by any replica. */
  readonly blockUntil: (at: Instant) => Promise<void>;
};

export type RecordStore = {
  /** Commits when the work resolves. Nothing is requested of a source inside. */
  readonly transaction: <T>(work: (tx: RecordTx) => Promise<T>) => Promise<T>;
};

export type RemovalPage = {
  readonly after: string | null;
  readonly limit: number;
  readonly letGoUntil: Instant | null;
};
export type OpenRemoval = { readonly externalId: string; readonly targetKey: string };

export type { LocalChange } from '../model/local-change.ts';

/** Hashes are SHA-256 in hex, of the key and of what was to be created. */
export type EditKey = {
  readonly keyHash: string;
  readonly requestHash: string;
  readonly targetKey: string;
  readonly pushId: string;
};

export type StartedCall = {
  readonly op: Push['op'];
  readonly externalId: string | null;
  readonly snapshot: Content | null;
  readonly patch: Content | null;
  readonly request: SavedRequest;
  readonly ifMatch: string | null;
  readonly preVersion: bigint | null;
  readonly tokenId: string;
  readonly leaseMs: number;
  /** Before the lease's end, so that nothing is sent by one who may have lost it. */
  readonly deadline: Instant;
};

export type PushMove =
  /** `errorCode`, `error`: why it was not carried out, where the source has not and it is over for all that. */
  | { readonly to: 'done'; readonly errorCode?: string | null; readonly error?: string | null }
  /**
   * Done, and the row is to be looked at again: a ready push of it exists from now on, with the edits of this one added.
   * `attempt`: attempts that count so far, 0 to begin anew.
   */
  | {
      readonly to: 'again';
      readonly runAt: Instant;
      readonly attempt: number;
      readonly errorCode: string | null;
      readonly error: string | null;
    }
  /** Stays (or becomes) unknown, to be looked at then. */
  | {
      readonly to: 'unknown';
      readonly runAt: Instant;
      readonly errorCode: string | null;
      readonly error: string | null;
    }
  | {
      readonly to: 'parked';
      readonly reason: ParkReason;
      readonly errorCode: string | null;
      /** Words for a person; no value of the record. */
      readonly error: string;
    };
