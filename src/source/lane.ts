/**
 * Who goes first when a source allows less than is wanted: reads that a webhook asked for, pushes and calls of users,
 * then incremental runs, then full ones. What a lane leaves unused flows down to the next.
 */
export const LANES = ['urgent', 'incremental', 'full'] as const;
export type Lane = (typeof LANES)[number];
