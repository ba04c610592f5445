import type { Log } from '../lib/log.ts';

export type LoopOptions = {
  readonly name: string;
  /** Longest wait between passes when nobody wakes the loop. */
  readonly pollMs: number;
  /** Waits after failures grow from `pollMs` up to this. */
  readonly maxBackoffMs: number;
  /** One bounded pass. Returns true when there is more to do at once. */
  readonly runOnce: (signal: AbortSignal) => Promise<boolean>;
  readonly random: () => number;
  readonly log: Log;
};

export type Loop = {
  /** Something may be due: run a pass now, or one more when a pass is under way. */
  wake(): void;
  /** Ends after the pass under way; `signal` of that pass fires at once. Resolves when it has ended. */
  stop(): Promise<void>;
};

/**
 * Runs `runOnce` again and again: at once while there is more, on `wake`, and every `pollMs` as a safety net. A pass that
 * throws is logged and followed by a growing, jittered wait; the loop itself never ends but by `stop`.
 */
export function startLoop(options: LoopOptions): Loop {
  const { name, pollMs, maxBackoffMs, runOnce, random, log } = options;
  const stopping = new AbortController();
  let isWoken = false;
  let wakeWaiter: (() => void) | null = null;
  let failures = 0;

  const pause = (ms: number, isWakeable: boolean): Promise<void> =>
    new Promise((resolve) => {
      if (stopping.signal.aborted || (isWakeable && isWoken)) return resolve();
      const done = () => {
        clearTimeout(timer);
        stopping.signal.removeEventListener('abort', done);
        wakeWaiter = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      stopping.signal.addEventListener('abort', done, { once: true });
      if (isWakeable) wakeWaiter = done;
    });

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      isWoken = false;
      try {
        const hasMore = await runOnce(stopping.signal);
        if (failures > 0) log.info({ loop: name, failures }, 'recovered');
        failures = 0;
        if (!hasMore) await pause(pollMs, true);
      } catch (error) {
        if (stopping.signal.aborted) break;
        failures++;
        // Full jitter over a doubling window: replicas that lost one database must not return in step.
        const waitMs = Math.max(pollMs, random() * Math.min(maxBackoffMs, pollMs * 2 ** Math.min(failures, 16)));
        if (failures === 1 || failures % 10 === 0) log.warn({ loop: name, failures, err: error }, 'pass failed');
        await pause(waitMs, false);
      }
    }
  }

  const ended = run();
  return {
    wake() {
      isWoken = true;
      wakeWaiter?.();
    },
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}
