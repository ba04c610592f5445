import type { Hold } from '../hold.ts';
import { LANES } from '../lane.ts';
import { type Ask, type Decision, decideBatch, type Ended, settle } from './budget.ts';
import type { RateLimit } from './definition.ts';
import { describeUse } from './describe.ts';
import type { Ledger } from './ledger.ts';
import type { LimitRow } from './limiter.ts';
import { type Flight, keepState, type LimitState, readState } from './state.ts';

type AccountOptions = {
  readonly ledger: Ledger;
  readonly rules: { readonly limits: readonly RateLimit[]; readonly attemptMs: number };
  /** Whether what other processes have learned counts here. */
  readonly learns: boolean;
  readonly process: string;
  readonly nowMs: () => number;
  /** This process's own. Told to the others, and extended by theirs. */
  readonly hold: Hold;
};

type Message = { readonly ended: readonly Ended[]; readonly asks: readonly Ask[]; readonly isHoldNew: boolean };
type Answered = { readonly decisions: ReadonlyMap<string, Decision>; readonly nowMs: number };

/** How often a process without limits looks whether another one has learned of some. */
const LOOK_EVERY_MS = 1_000;

/** This process's side of the shared ledger. Errors of the ledger pass through. */
export function createAccount({ ledger, rules, learns, process, nowMs, hold }: AccountOptions) {
  let hasLearned = false;
  let lookedAtMs: number | null = null;
  let knownHoldUntil = 0;

  /** Learning that is switched off also ends what was learned before, which could hold everything back for a day. */
  function read(kept: unknown, ledgerMs: number): LimitState {
    const state = readState(kept, ledgerMs);
    return learns ? state : { ...state, learned: {}, endpoints: {}, costs: {} };
  }

  function noteShared(state: LimitState, wasHeld: boolean): void {
    hasLearned = Object.keys(state.learned).length > 0;
    const { hold: shared } = state;
    // Once for each hold: taking it again each time would add up what lies between two readings of two clocks.
    // Unless it was over here alone, because one of the clocks was set: nobody would get an answer, nor be woken.
    if (shared === null || shared.until <= state.at) return;
    if (shared.until <= knownHoldUntil && wasHeld) return;
    knownHoldUntil = shared.until;
    const remainingMs = Math.min(shared.askedMs, shared.until - state.at);
    if (remainingMs > hold.remainingMs()) hold.extend(remainingMs);
  }

  const isTracking = () => rules.limits.length > 0 || hasLearned;

  async function update({ ended, asks, isHoldNew }: Message): Promise<Answered> {
    const wasHeld = hold.remainingMs() > 0;
    const { decisions, state } = await ledger.update((kept, ledgerMs) => {
      const state = read(kept, ledgerMs);
      const holdMs = isHoldNew ? hold.remainingMs() : null;
      const isHeld = (state.hold?.until ?? 0) > state.at || (holdMs ?? 0) > 0;
      const decisions = decideBatch(state, { process, holdMs, ended, asks: isHeld ? [] : asks }, rules);
      return { keep: keepState(state), result: { decisions, state } };
    });
    if (isHoldNew) knownHoldUntil = state.hold?.until ?? 0;
    noteShared(state, wasHeld);
    lookedAtMs = nowMs();
    return { decisions, nowMs: state.at };
  }

  function hasLookedLately(): boolean {
    const sinceMs = lookedAtMs === null ? null : nowMs() - lookedAtMs;
    // A clock that was set back must not keep us from looking.
    return sinceMs !== null && sinceMs >= 0 && sinceMs < LOOK_EVERY_MS;
  }

  async function lookAround(): Promise<void> {
    if (hasLookedLately()) return;
    const wasHeld = hold.remainingMs() > 0;
    const { kept, nowMs: ledgerMs } = await ledger.read();
    lookedAtMs = nowMs();
    if (kept !== null) noteShared(read(kept, ledgerMs), wasHeld);
  }

  return {
    isTracking,
    /** Leave without asking anybody, where there is nothing to ask; null otherwise. */
    grantAtOnce: (ask: Ask): Flight | null =>
      !isTracking() && hasLookedLately() && hold.remainingMs() === 0 ? grantFreely(ask, nowMs()).flight : null,
    /** Without limits everybody may go, and the ledger is only looked at, once in a while. While held nobody gets an answer. */
    async ask(message: Message): Promise<Answered> {
      const { ended, asks, isHoldNew } = message;
      if (ended.length === 0 && asks.length === 0 && !isHoldNew) return { decisions: new Map(), nowMs: 0 };
      if (!isTracking() && ended.length === 0 && !isHoldNew) {
        await lookAround();
        if (!isTracking()) {
          const decisions = new Map<string, Decision>();
          if (hold.remainingMs() === 0) for (const ask of asks) decisions.set(ask.id, grantFreely(ask, nowMs()));
          return { decisions, nowMs: nowMs() };
        }
      }
      return update(message);
    },
    async rows(): Promise<readonly LimitRow[]> {
      const { kept, nowMs: ledgerMs } = await ledger.read();
      const state = read(kept, ledgerMs);
      settle(state, { process, holdMs: null, ended: [], asks: [] }, rules, state.at);
      return describeUse(state, rules.limits);
    },
  };
}

/** `at` stays before everything learned: what it overlaps with is not known. */
const grantFreely = ({ endpoint, lane }: Ask, nowMs: number): Extract<Decision, { kind: 'granted' }> => ({
  kind: 'granted',
  flight: { at: 0, until: nowMs, lane: LANES.indexOf(lane), endpoint, costs: {} },
});
