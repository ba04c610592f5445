import { setTimeout as wait } from 'node:timers/promises';
import type { Random } from '../../../src/testing/index.ts';
import { fileOf, type Owner, type Process, programOf, startNode } from '../setup.ts';

/** What happened to the servers, for the report. */
export type ReplicaCounts = {
  /** By crash point. */
  readonly hits: Record<string, number>;
  starts: number;
  killed: number;
  stopped: number;
  cuts: number;
  maxReadyMs: number;
};

export type Replicas = {
  readonly counts: ReplicaCounts;
  /** Of those that are ready. */
  addresses(): readonly string[];
  /** Output that must not be: what a server that ended by itself had said, and lines that show what no line may show. */
  readonly complaints: readonly string[];
  /** Stops one for a while, as a long pause of its machine would. One at a time; false when none is ready. */
  freeze(ms: number): Promise<boolean>;
  /** Ends all at once, does `work` while there is none, and lets them start again. */
  cut(work: () => Promise<void>): Promise<void>;
  /** From now on they are started without crash points, and are not killed. Takes effect with the next `cut`. */
  calm(): void;
  /** Ends all for good. */
  end(): Promise<void>;
};

export type ReplicaOptions = {
  readonly count: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly random: Random;
  /** Where the next one is to die; null for none. */
  readonly nextPoint: (hits: Readonly<Record<string, number>>) => string | null;
  /** What none of them may ever say. */
  readonly canary: string;
  /** Those that do not meet their points are killed all the same, some time later. */
  readonly kills: boolean;
  /** Called after each end of one. */
  readonly onEnd: () => Promise<void>;
};

const POLL_MS = 20;
const MAX_PASSAGES = 3;
/** One that has not met its point is killed at a random time: after so many times what its start took, at least. */
const MIN_PATIENCE = 2;
const MAX_PATIENCE = 6;
const LEAST_PATIENCE_MS = 3_000;
/** What follows a request that was cut off has happened by then, at the source. */
const SETTLE_MS = 300;
const MAX_START_MS = 60_000;
const MAX_COMPLAINT_CHARS = 2_000;

/** Keeps so many servers alive, each with a point at which it dies, until told to be calm. */
export function startReplicas(owner: Owner, options: ReplicaOptions): Replicas {
  const { random, environment, canary } = options;
  const counts: ReplicaCounts = { hits: {}, starts: 0, killed: 0, stopped: 0, cuts: 0, maxReadyMs: 0 };
  const complaints: string[] = [];
  const ready = new Map<Process, string>();
  const running = new Set<Process>();
  const frozen = new Set<Process>();
  let isHeld = false;
  let isCalm = false;
  let isOver = false;

  async function live(): Promise<void> {
    while (!isOver) {
      if (isHeld) {
        await wait(POLL_MS);
        continue;
      }
      const point = isCalm ? null : options.nextPoint(counts.hits);
      const crashAt = point === null ? {} : { CRASH_AT: `${point}:${random.whole(1, MAX_PASSAGES)}` };
      const started = performance.now();
      const one = startNode(owner, programOf(fileOf('crashing-server')), { ...environment, ...crashAt });
      counts.starts += 1;
      running.add(one);
      const ended = one.ended.then(() => true as const);
      const wasReady = await becomesReady(one, started);
      const patienceMs = LEAST_PATIENCE_MS + (performance.now() - started) * random.whole(MIN_PATIENCE, MAX_PATIENCE);
      if (isCalm || !wasReady || !options.kills) await ended;
      else if (!(await Promise.race([ended, wait(patienceMs, false, { ref: false })]))) {
        while (frozen.has(one)) await wait(POLL_MS);
        if (!isCalm && one.child.kill('SIGKILL')) counts.killed += 1;
        await ended;
      }
      forget(one, (await one.ended).signal, wasReady);
      await options.onEnd().catch(() => {}); // the database may be away; it is done again at the next end
    }
  }

  async function becomesReady(one: Process, started: number): Promise<boolean> {
    let hasEnded = false;
    void one.ended.then(() => {
      hasEnded = true;
    });
    while (!hasEnded && performance.now() - started < MAX_START_MS) {
      const address = /"address":"(http[^"]+)"[^\n]*"msg":"ready"/.exec(one.output())?.[1];
      if (address !== undefined) {
        ready.set(one, address);
        counts.maxReadyMs = Math.max(counts.maxReadyMs, Math.round(performance.now() - started));
        return true;
      }
      await wait(POLL_MS);
    }
    if (!hasEnded) complaints.push(`a server was not ready in time:\n${one.output().slice(-MAX_COMPLAINT_CHARS)}`);
    one.child.kill('SIGKILL');
    return false;
  }

  function forget(one: Process, signal: NodeJS.Signals | null, wasReady: boolean): void {
    ready.delete(one);
    running.delete(one);
    const output = one.output();
    const point = /^crashed at (C\d+)$/m.exec(output)?.[1];
    if (point !== undefined) counts.hits[point] = (counts.hits[point] ?? 0) + 1;
    // Before it is ready it may end by itself: the database may be away.
    if (wasReady && signal !== 'SIGKILL') {
      complaints.push(`a server ended by itself:\n${output.slice(-MAX_COMPLAINT_CHARS)}`);
    }
    const leak = output.split('\n').find((line) => line.includes(canary));
    if (leak !== undefined) complaints.push(`a line shows content: ${leak.slice(0, MAX_COMPLAINT_CHARS)}`);
    for (const line of output.split('\n')) if (line.includes('"level":60')) complaints.push(line);
  }

  const killAll = async () => {
    for (const one of running) one.child.kill('SIGKILL');
    while (running.size > 0) await wait(POLL_MS);
  };
  const slots = Array.from({ length: options.count }, live);

  return {
    counts,
    complaints,
    addresses: () => [...ready].filter(([one]) => !frozen.has(one)).map(([, address]) => address),
    async freeze(ms) {
      const one = frozen.size > 0 ? undefined : [...ready.keys()][0];
      if (one === undefined || !one.child.kill('SIGSTOP')) return false;
      counts.stopped += 1;
      frozen.add(one);
      await wait(ms);
      one.child.kill('SIGCONT');
      frozen.delete(one);
      return true;
    },
    async cut(work) {
      isHeld = true;
      try {
        await killAll();
        counts.cuts += 1;
        await wait(SETTLE_MS);
        await work();
      } finally {
        isHeld = false;
      }
    },
    calm() {
      isCalm = true;
    },
    async end() {
      isOver = true;
      isCalm = true;
      await killAll();
      await Promise.all(slots);
    },
  };
}
