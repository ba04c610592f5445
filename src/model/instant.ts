/**
 * A moment by the database's own clock, in whole microseconds since 1970 (safe integers until the year 2255).
 * Order between observations uses only these: the clocks of replicas and of sources are never compared.
 */
export type Instant = number;

/** Before every moment: nothing is known about how old the sighting is. */
export const BEFORE_ALL: Instant = Number.NEGATIVE_INFINITY;

export const instantFromMs = (ms: number): Instant => ms * 1000;
export const addMs = (at: Instant, ms: number): Instant => at + ms * 1000;
export const toDate = (at: Instant): Date => new Date(at / 1000);
