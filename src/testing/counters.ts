/** Everything the source does to its reader, counted. A fault that is not counted could not be shown to be healed. */
export type Counters = {
  readonly changes: {
    created: number;
    updated: number;
    /** A new stamp without new content. */
    touched: number;
    /** Changed and changed back. */
    reverted: number;
    /** Stamped the same as the record's previous change: the two cannot be ordered by version. */
    sameTick: number;
    deleted: number;
    /** Became visible later than their stamp says. */
    committedLate: number;
  };
  readonly webhooks: {
    /** One for each change while a receiver was known. */
    events: number;
    attempts: number;
    /** Answered 2xx. */
    delivered: number;
    failedAttempts: number;
    gaveUp: number;
    lost: number;
    duplicated: number;
    delayed: number;
    reordered: number;
    forged: number;
    stale: number;
    /** Forged or stale ones that were answered 2xx. Must stay 0. */
    wronglyAccepted: number;
    /** Not sent because too many wait already. */
    overflowed: number;
  };
  readonly api: {
    requests: number;
    unauthorized: number;
    serverErrors: number;
    rateLimited: number;
    truncated: number;
    slow: number;
    reset: number;
    /** 410. */
    gone: number;
    /** Answered by a replica that was behind. */
    lagging: number;
  };
  readonly writes: {
    /** Requests for a write, whatever became of them. */
    received: number;
    executed: number;
    /** Answered with the kept answer to the same key. */
    replayed: number;
    /** 409 or 422: the key stood for another request, or one still under way. */
    keyRefused: number;
    /** 412. */
    preconditionFailed: number;
    /** 400 or 422. */
    invalid: number;
    /** 404. */
    notFound: number;
    serverErrorsBefore: number;
    serverErrorsAfter: number;
    rateLimited: number;
    timedOutBefore: number;
    timedOutAfter: number;
    zombies: number;
    truncated: number;
    reset: number;
    /** Events beyond the first for a write. */
    echoes: number;
    touched: number;
  };
};

export const createCounters = (): Counters => ({
  changes: { created: 0, updated: 0, touched: 0, reverted: 0, sameTick: 0, deleted: 0, committedLate: 0 },
  webhooks: {
    events: 0,
    attempts: 0,
    delivered: 0,
    failedAttempts: 0,
    gaveUp: 0,
    lost: 0,
    duplicated: 0,
    delayed: 0,
    reordered: 0,
    forged: 0,
    stale: 0,
    wronglyAccepted: 0,
    overflowed: 0,
  },
  api: {
    requests: 0,
    unauthorized: 0,
    serverErrors: 0,
    rateLimited: 0,
    truncated: 0,
    slow: 0,
    reset: 0,
    gone: 0,
    lagging: 0,
  },
  writes: {
    received: 0,
    executed: 0,
    replayed: 0,
    keyRefused: 0,
    preconditionFailed: 0,
    invalid: 0,
    notFound: 0,
    serverErrorsBefore: 0,
    serverErrorsAfter: 0,
    rateLimited: 0,
    timedOutBefore: 0,
    timedOutAfter: 0,
    zombies: 0,
    truncated: 0,
    reset: 0,
    echoes: 0,
    touched: 0,
  },
});
