import { setTimeout as wait } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import { assertNever } from '../lib/assert-never.ts';
import { type Instant, toDate } from '../model/instant.ts';
import type { SourceState } from '../model/source-state.ts';
import type { LimitRow } from '../source/rate-limit/limiter.ts';
import { readSourceStates } from '../store/source-states.ts';
import type { Integration } from './integration.ts';

type Authenticated = Pick<Integration, 'name' | 'newCredentials'>;

/** How much of a source's limits is used; may be slow, and may fail. */
export type LimitsOf = (integration: string) => Promise<readonly LimitRow[]>;

/** Whoever asks for the status waits no longer for the limits. */
const LIMITS_TIMEOUT_MS = 1_000;

/** How a source stands, as the status shows it. `limits`: null when they could not be told in time. */
export function describeSource(state: SourceState | undefined, limits: readonly LimitRow[] | null) {
  return {
    breaker: {
      state: state?.breaker ?? 'closed',
      since: iso(state?.breakerAt ?? null),
      reason: state?.breakerReason ?? null,
    },
    paused: describePause(state),
    limits,
  };
}

export const describePause = (state: SourceState | undefined) =>
  state?.paused == null ? null : { ...state.paused, since: iso(state.paused.since) };

/** Why an integration is paused, by whom; null when it is not. */
export const readPause = async (db: Db, integration: string) =>
  describePause((await readSourceStates(db)).get(integration));

/** Why the source keeps its streams from being healthy, in words that a person can act on. */
export function sourceReasons(integration: Authenticated, state: SourceState | undefined): string[] {
  const reasons: string[] = [];
  if (state?.paused != null) reasons.push(pauseWords(integration, state.paused));
  if (state !== undefined && state.breaker !== 'closed') {
    const { breaker, breakerAt, breakerReason } = state;
    const how = breaker === 'open' ? 'is open' : 'lets one request through to try';
    reasons.push(
      `the circuit breaker ${how} since ${iso(breakerAt) ?? 'some time'}: ${breakerReason ?? 'the source fails'}`,
    );
  }
  return reasons;
}

function pauseWords(integration: Authenticated, { reason, detail }: NonNullable<SourceState['paused']>): string {
  const resume = `POST /integrations/${integration.name}/resume`;
  switch (reason) {
    case 'operator':
      return `paused by an operator${detail === null ? '' : ` (${detail})`}; ${resume} lets it go on`;
    case 'auth':
      return `paused: the source refuses our credentials (${detail ?? '401'}); ${renewalOf(integration)}: it then goes on`;
    default:
      return assertNever(reason);
  }
}

/** Variables are read at the start, so that a new value is not there before the next. */
function renewalOf({ name, newCredentials }: Authenticated): string {
  if (newCredentials.kind === 'person') return `authorize anew at GET /oauth/${name}/start`;
  const { variables } = newCredentials;
  if (variables.length === 0) return 'put new ones into the definition and restart';
  const many = variables.length > 1;
  return `put ${many ? 'new ones' : 'a new one'} into the environment variable${many ? 's' : ''} ${variables.join(', ')} and restart`;
}

/** Null when they cannot be told, or not in time. */
export async function readLimits(limitsOf: LimitsOf, integration: string): Promise<readonly LimitRow[] | null> {
  const late = new AbortController();
  try {
    const tooLate = wait(LIMITS_TIMEOUT_MS, null, { ref: false, signal: late.signal });
    tooLate.catch(() => {});
    return await Promise.race([limitsOf(integration), tooLate]);
  } catch {
    return null;
  } finally {
    late.abort();
  }
}

const iso = (at: Instant | null): string | null => (at === null ? null : toDate(at).toISOString());
