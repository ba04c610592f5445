/** Gives back a slot. Calling it again does nothing. */
export type Release = () => void;

/**
 * A bounded number of slots, given in the order of asking. The queue is as long as there are callers.
 * `acquire` gives null when the signal fires first; then the caller holds nothing.
 */
export function createSlots(max: number) {
  let free = max;
  const waiting = new Set<() => void>();

  const createRelease = (): Release => {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const [next] = waiting;
      if (next === undefined) free += 1;
      else next();
    };
  };

  return {
    acquire(signal: AbortSignal): Promise<Release | null> {
      if (signal.aborted) return Promise.resolve(null);
      if (free > 0) {
        free -= 1;
        return Promise.resolve(createRelease());
      }
      return new Promise((resolve) => {
        const grant = () => settle(createRelease());
        const giveUp = () => settle(null);
        const settle = (release: Release | null) => {
          waiting.delete(grant);
          signal.removeEventListener('abort', giveUp);
          resolve(release);
        };
        waiting.add(grant);
        signal.addEventListener('abort', giveUp, { once: true });
      });
    },
  };
}

export type Slots = ReturnType<typeof createSlots>;
