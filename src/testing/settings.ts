/** Chances from 0 to 1 that something goes wrong, drawn anew for every delivery, request or change. All off. */
export const FAULTS_OFF = {
  webhookLoss: 0,
  webhookDuplicate: 0,
  webhookDelay: 0,
  /** Held back until later ones have gone out. */
  webhookReorder: 0,
  /** Sends, beside the real one, one with other content signed with another secret. */
  webhookForged: 0,
  /** Sends, beside the real one, one with other content, rightly signed, but for an hour ago. */
  webhookStale: 0,
  apiServerError: 0,
  apiRateLimit: 0,
  apiTruncated: 0,
  apiSlow: 0,
  apiReset: 0,
  /** What is not there, and the cursor of a page, is answered 410. */
  apiGone: 0,
  /** A good token is refused. */
  apiUnauthorized: 0,
  /** A read is answered by a replica that is behind. */
  readLag: 0,
  /** A change is stamped now and becomes visible later. */
  lateCommit: 0,
  /** 500, and nothing was done. */
  writeServerErrorBefore: 0,
  /** 500, although it was done. */
  writeServerErrorAfter: 0,
  writeRateLimit: 0,
  /** No answer, and nothing was done. */
  writeTimeoutBefore: 0,
  /** No answer, although it was done. */
  writeTimeoutAfter: 0,
  /** No answer, and it is done when nobody waits for it any more. */
  writeZombie: 0,
  /** Done, and half of the answer comes. */
  writeTruncated: 0,
  /** Done, and the connection breaks. */
  writeReset: 0,
  /** A write is told of by several events. */
  writeEcho: 0,
  /** The source stamps a written record once more, a moment later, without new content. */
  writeTouch: 0,
};

const INITIAL_AMOUNTS = {
  changesPerSecond: 5,
  webhookMaxDelayMs: 3_000,
  webhookMaxAttempts: 6,
  webhookBackoffMs: 200,
  webhookTimeoutMs: 10_000,
  webhookConcurrency: 8,
  apiMaxSlowMs: 1_500,
  readMaxLagMs: 2_000,
  lateCommitMaxMs: 1_500,
  /** How long an answer that never comes is waited for before the connection ends. */
  writeMaxHoldMs: 15_000,
  writeZombieAfterMs: 2_000,
  writeMaxEchoes: 3,
  writeTouchMaxMs: 1_500,
  idempotencyTtlMs: 24 * 60 * 60 * 1_000,
};

export type SettingName = keyof typeof FAULTS_OFF | keyof typeof INITIAL_AMOUNTS;
export type Settings = { readonly [Name in SettingName]: number };
export type SettingsPatch = { readonly [Name in SettingName]?: number };

export const INITIAL_SETTINGS: Settings = { ...FAULTS_OFF, ...INITIAL_AMOUNTS };

/**
 * Every fault that a reader is to heal by itself, at a chance that shows it within some hundred changes. Not among them: reads
 * that lag, which a source documents or has not, and refused credentials, which call for a person.
 */
export const ALL_FAULTS: SettingsPatch = {
  webhookLoss: 0.05,
  webhookDuplicate: 0.05,
  webhookDelay: 0.1,
  webhookReorder: 0.1,
  webhookForged: 0.02,
  webhookStale: 0.02,
  apiServerError: 0.05,
  apiRateLimit: 0.05,
  apiTruncated: 0.05,
  apiSlow: 0.05,
  apiReset: 0.05,
  apiGone: 0.02,
  lateCommit: 0.02,
  writeServerErrorBefore: 0.03,
  writeServerErrorAfter: 0.03,
  writeRateLimit: 0.03,
  writeTimeoutBefore: 0.02,
  writeTimeoutAfter: 0.02,
  writeZombie: 0.02,
  writeTruncated: 0.03,
  writeReset: 0.03,
  writeEcho: 0.2,
  writeTouch: 0.1,
};

const MAX_WAIT_MS = 60_000;
const MAX_TTL_MS = 31 * 24 * 60 * 60 * 1_000;
const MAX_BY_AMOUNT: { readonly [Name in keyof typeof INITIAL_AMOUNTS]: number } = {
  changesPerSecond: 10_000,
  webhookMaxDelayMs: MAX_WAIT_MS,
  webhookMaxAttempts: 20,
  webhookBackoffMs: MAX_WAIT_MS,
  webhookTimeoutMs: MAX_WAIT_MS,
  webhookConcurrency: 256,
  apiMaxSlowMs: MAX_WAIT_MS,
  readMaxLagMs: MAX_WAIT_MS,
  lateCommitMaxMs: MAX_WAIT_MS,
  writeMaxHoldMs: MAX_WAIT_MS,
  writeZombieAfterMs: MAX_WAIT_MS,
  writeMaxEchoes: 10,
  writeTouchMaxMs: MAX_WAIT_MS,
  idempotencyTtlMs: MAX_TTL_MS,
};

/** Amounts that at 0 would stand still for ever. */
const MIN_BY_AMOUNT: SettingsPatch = {
  changesPerSecond: 0.1,
  webhookMaxAttempts: 1,
  webhookBackoffMs: 1,
  webhookTimeoutMs: 10,
  webhookConcurrency: 1,
  writeMaxEchoes: 1,
};

export type SettingsParse =
  | { readonly ok: true; readonly patch: SettingsPatch }
  | { readonly ok: false; readonly problem: string };

/** Reads some settings out of parsed JSON. One problem refuses them all. */
export function parseSettings(value: unknown): SettingsParse {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, problem: 'settings: expected an object of numbers' };
  }
  const patch: { [Name in SettingName]?: number } = {};
  for (const [name, number] of Object.entries(value)) {
    if (!isSettingName(name)) {
      return { ok: false, problem: `settings: expected only names out of ${Object.keys(INITIAL_SETTINGS).join(', ')}` };
    }
    const min = MIN_BY_AMOUNT[name] ?? 0;
    const max = isAmountName(name) ? MAX_BY_AMOUNT[name] : 1;
    if (typeof number !== 'number' || !(number >= min && number <= max)) {
      return { ok: false, problem: `settings.${name}: expected a number from ${min} to ${max}` };
    }
    patch[name] = number;
  }
  return { ok: true, patch };
}

const isSettingName = (name: string): name is SettingName => Object.hasOwn(INITIAL_SETTINGS, name);
const isAmountName = (name: SettingName): name is keyof typeof INITIAL_AMOUNTS => Object.hasOwn(INITIAL_AMOUNTS, name);
