import type { Instant } from '../../src/model/instant.ts';
import { addMs } from '../../src/model/instant.ts';
import { type Coroutine, createStage } from './actors.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

type Replica = {
  readonly number: number;
  life: { isDead: boolean };
  actors: Coroutine[];
  /** Nothing of it goes on before: it is stopped, or starts anew. */
  awayUntil: Instant;
};

const MAX_DOWN_MS = 3_000;
const MAX_PAUSE_MS = 120_000;
/** Longer than a claim holds, and long enough for others to find out what became of it. */
const PAST_LEASE_MS = { least: 60_000, more: 240_000 };
/** Where a push is claimed and its request has not left. */
const BEFORE_REQUEST = new Set(['C15', 'write sent']);
/** Tries to find somebody who has something to do before time goes on instead. */
const TRIES = 6;

/** The replicas of the server: which workers they have, and how they die and come back. */
export function createReplicas(world: World, random: Random, count: number) {
  const { clock, faults, figures, trace } = world;
  const stage = createStage({
    diesAt(label) {
      figures.count(`at ${label}`);
      if (!faults.strikes('crash_in_transaction')) return false;
      figures.count(`crash at ${label}`);
      trace?.(`crash in a transaction at ${label}`);
      return true;
    },
  });
  const replicas: Replica[] = Array.from({ length: count }, (_, number) => ({
    number,
    life: { isDead: false },
    actors: [],
    awayUntil: 0,
  }));

  function start(replica: Replica): void {
    replica.life = { isDead: false };
    replica.actors = Object.entries(world.workers).map(([name, body]) =>
      stage.start(`${name} ${replica.number}`, replica.number, replica.life, body),
    );
  }

  function kill(replica: Replica): void {
    replica.life.isDead = true;
    replica.actors = [];
    replica.awayUntil = addMs(clock.at(), random.below(MAX_DOWN_MS));
  }

  const isAway = ({ awayUntil }: Replica): boolean => awayUntil > clock.at();

  /** Whoever has been away for long enough is back. */
  function revive(): void {
    for (const replica of replicas) {
      if (replica.life.isDead) kill(replica);
      if (replica.actors.length === 0 && !isAway(replica)) start(replica);
    }
  }

  /** The place of a gate at which a coroutine can go on; null when it waits for work. */
  function readyPlace(coroutine: Coroutine): number | null {
    const ready: number[] = [];
    for (const [place, { hasWork }] of coroutine.waiting.entries())
      if (hasWork === null || hasWork()) ready.push(place);
    return ready.length === 0 ? null : ready.length === 1 ? (ready[0] ?? null) : random.pick(ready);
  }

  async function goOn(replica: Replica, coroutine: Coroutine, place: number): Promise<void> {
    const label = coroutine.waiting[place]?.label ?? '';
    figures.count(`at ${label}`);
    if (label !== 'idle' && faults.strikes('crash')) {
      figures.count(`crash at ${label}`);
      trace?.(`${coroutine.name} crashes at ${label}`);
      kill(replica);
      return;
    }
    if (label !== 'idle' && faults.strikes('pause')) {
      replica.awayUntil = addMs(clock.at(), random.below(MAX_PAUSE_MS));
      trace?.(`replica ${replica.number} stops until ${replica.awayUntil}`);
      return;
    }
    if (BEFORE_REQUEST.has(label) && faults.strikes('pause_past_lease')) {
      replica.awayUntil = addMs(clock.at(), PAST_LEASE_MS.least + random.below(PAST_LEASE_MS.more));
      trace?.(`replica ${replica.number} stops until ${replica.awayUntil}`);
      return;
    }
    trace?.(`${clock.at()} ${coroutine.name} goes on from ${label}`);
    await stage.resume(coroutine, place);
    if (replica.life.isDead && replica.actors.length > 0) kill(replica);
  }

  return {
    /** Lets somebody go on. @returns false when nobody was found who could. */
    async stepAnyone(): Promise<boolean> {
      revive();
      for (let attempt = 0; attempt < TRIES; attempt++) {
        const replica = random.pick(replicas);
        if (isAway(replica) || replica.actors.length === 0) continue;
        const coroutine = random.pick(replica.actors);
        const place = readyPlace(coroutine);
        if (place === null) continue;
        await goOn(replica, coroutine, place);
        return true;
      }
      return false;
    },
    /** The same, and finds whoever there is. */
    async stepSomeone(): Promise<boolean> {
      revive();
      for (const replica of replicas) {
        if (isAway(replica)) continue;
        for (const coroutine of replica.actors) {
          const place = readyPlace(coroutine);
          if (place === null) continue;
          await goOn(replica, coroutine, place);
          return true;
        }
      }
      return false;
    },
    /** Each ends, and comes back after a while. */
    restart(): void {
      for (const replica of replicas) kill(replica);
    },
    /** All of them are back at once. */
    heal(): void {
      for (const replica of replicas) replica.awayUntil = Number.NEGATIVE_INFINITY;
    },
  };
}

export type Replicas = ReturnType<typeof createReplicas>;
