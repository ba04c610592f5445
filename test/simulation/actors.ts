import type { CrashPoint } from '../../src/sync/deps.ts';

/** One worker of one replica: a coroutine that goes on only when the scheduler says so. */
export type Actor = {
  readonly name: string;
  readonly replica: number;
  readonly isDead: () => boolean;
  /** Waits to be picked. Every I/O has one before and one after it. */
  readonly gate: (label: string) => Promise<void>;
  /** Waits to be picked while there is work. */
  readonly idle: (hasWork: () => boolean) => Promise<void>;
  /** A gate, and inside a transaction a place where the replica may die. */
  readonly crashPoint: (name: CrashPoint) => Promise<void>;
  /** Runs work that nothing may interrupt but a crash at a crash point in it. */
  readonly uninterrupted: <T>(work: () => Promise<T>) => Promise<T>;
};

export type Waiting = {
  readonly label: string;
  readonly hasWork: (() => boolean) | null;
  readonly resume: () => void;
};

type Life = { isDead: boolean };

/** Where an actor stands, as the scheduler sees it. */
export type Coroutine = {
  readonly name: string;
  readonly replica: number;
  readonly waiting: Waiting[];
  readonly life: Life;
  failure: unknown;
};

export class CrashError extends Error {
  override readonly name = 'CrashError';
}

const never = <T>(): Promise<T> => new Promise<T>(() => {});

/** Who decides whether a replica dies at a crash point within a transaction. */
export type Fate = { readonly diesAt: (label: string) => boolean };

/**
 * Starts coroutines and lets them go on one at a time. Whoever dies simply never goes on: its answers come to nobody, and
 * what it had not committed is gone.
 */
export function createStage(fate: Fate) {
  let paused: (() => void) | null = null;
  const halt = (): void => {
    const signal = paused;
    paused = null;
    signal?.();
  };

  function start(name: string, replica: number, life: Life, body: (actor: Actor) => Promise<void>): Coroutine {
    const coroutine: Coroutine = { name, replica, waiting: [], life, failure: null };
    let depth = 0;
    const wait = (label: string, hasWork: (() => boolean) | null): Promise<void> => {
      if (life.isDead) return never();
      return new Promise<void>((resume) => {
        coroutine.waiting.push({ label, hasWork, resume });
        halt();
      });
    };
    const actor: Actor = {
      name,
      replica,
      isDead: () => life.isDead,
      gate: (label) => (depth > 0 ? Promise.resolve() : wait(label, null)),
      idle: (hasWork) => wait('idle', hasWork),
      async crashPoint(label) {
        if (depth === 0) return await wait(label, null);
        if (!fate.diesAt(label)) return;
        life.isDead = true;
        throw new CrashError(label);
      },
      async uninterrupted(work) {
        depth++;
        try {
          return await work();
        } finally {
          depth--;
          if (life.isDead) {
            halt();
            // biome-ignore lint/correctness/noUnsafeFinally: a dead replica neither returns nor throws
            return await never();
          }
        }
      },
    };
    body(actor).then(halt, (error: unknown) => {
      coroutine.failure = error;
      halt();
    });
    return coroutine;
  }

  /** Lets one coroutine go on until it waits again, ends, fails or dies. */
  async function resume(coroutine: Coroutine, place = 0): Promise<void> {
    const [gate] = coroutine.waiting.splice(place, 1);
    if (gate === undefined) return;
    const hasHalted = new Promise<void>((resolve) => {
      paused = resolve;
    });
    gate.resume();
    // With other parts of it still waiting, the part that went on may end in waiting for those.
    if (coroutine.waiting.length === 0) await hasHalted;
    else await Promise.race([hasHalted, new Promise<void>((resolve) => setImmediate(resolve))]);
    if (coroutine.failure !== null) throw coroutine.failure;
  }

  return { start, resume };
}
