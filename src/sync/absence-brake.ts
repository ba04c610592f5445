const WINDOW_MS = 10 * 60_000;
/** Fewer reads than this prove nothing about the credentials. */
const MIN_READS_TO_RELEASE = 5;

type Window = { startedAtMs: number; reads: number; found: number; surprises: number; isTripped: boolean };

/** One answer of a read by id. `isExpected`: an event or a list had said before that the record may be gone. */
export type ReadAnswer = { readonly isAbsent: boolean; readonly isExpected: boolean };

/**
 * Holds deletions back when suddenly many reads find nothing. Credentials that lost a right make every record look deleted
 * (404, not 403, at several providers); without this each read would remove a row. Per stream and process, over ten
 * minutes: more than `minimum` unexpected absences that are also more than `maxShare` of the reads trip it. From then on no
 * unexpected absence is believed, until in a later ten minutes at least half of five or more reads have found a record.
 */
export function createAbsenceBrake(nowMs: () => number) {
  const windows = new Map<string, Window>();

  function currentWindow(stream: string): Window {
    const now = nowMs();
    const last = windows.get(stream);
    if (last !== undefined && now - last.startedAtMs <= WINDOW_MS) return last;
    const next = { startedAtMs: now, reads: 0, found: 0, surprises: 0, isTripped: last?.isTripped ?? false };
    windows.set(stream, next);
    return next;
  }

  return {
    /** Counts one answer. @returns false when it is an absence that must not be believed now. */
    believes(stream: string, answer: ReadAnswer, limits: { maxShare: number; minimum: number }): boolean {
      const window = currentWindow(stream);
      // The window that tripped it has surprises of its own and cannot release it.
      const isLater = window.surprises === 0;
      window.reads += 1;
      if (!answer.isAbsent) window.found += 1;
      const isWorking = window.reads >= MIN_READS_TO_RELEASE && window.found * 2 >= window.reads;
      if (window.isTripped && isLater && isWorking) window.isTripped = false;
      if (!answer.isAbsent || answer.isExpected) return true;
      if (window.isTripped) return false;
      window.surprises += 1;
      if (window.surprises > Math.max(limits.minimum, limits.maxShare * window.reads)) window.isTripped = true;
      return !window.isTripped;
    },
    /** How long a disbelieved read should wait before it is asked again. */
    waitMs: WINDOW_MS,
  };
}

export type AbsenceBrake = ReturnType<typeof createAbsenceBrake>;
