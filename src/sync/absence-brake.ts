const WINDOW_MS = 10 * 60_000;

type Window = { startedAtMs: number; reads: number; surprises: number };

/** One answer of a read by id. `isExpected`: an event or a list had said before that the record may be gone. */
export type ReadAnswer = { readonly isAbsent: boolean; readonly isExpected: boolean };

/**
 * Holds deletions back when suddenly many reads find nothing. Credentials that lost a right make every record look deleted
 * (404, not 403, at several providers); without this each read would remove a row. Per stream and process, over ten
 * minutes: more than `minimum` unexpected absences that are also more than `maxShare` of the reads.
 */
export function createAbsenceBrake(nowMs: () => number) {
  const windows = new Map<string, Window>();

  return {
    /** Counts one answer. @returns false when it is an absence that must not be believed now. */
    believes(stream: string, answer: ReadAnswer, limits: { maxShare: number; minimum: number }): boolean {
      const now = nowMs();
      let window = windows.get(stream);
      if (window === undefined || now - window.startedAtMs > WINDOW_MS) {
        window = { startedAtMs: now, reads: 0, surprises: 0 };
        windows.set(stream, window);
      }
      window.reads += 1;
      if (!answer.isAbsent || answer.isExpected) return true;
      window.surprises += 1;
      return window.surprises <= Math.max(limits.minimum, limits.maxShare * window.reads);
    },
    /** How long a disbelieved read should wait before it is asked again. */
    waitMs: WINDOW_MS,
  };
}

export type AbsenceBrake = ReturnType<typeof createAbsenceBrake>;
