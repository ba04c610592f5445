import { HELD_BY_CONFLICT } from './check-sql.ts';
import type { World } from './check-world.ts';

/** Pushes of one entity that are not over, for one reason. */
export type WaitingPushes = {
  readonly entity: string;
  readonly op: string;
  /** Parked ones wait for a person. The others are still on their way, although the time for it is over. */
  readonly state: string;
  /** Of parked ones. */
  readonly reason: string | null;
  readonly error: string | null;
  /** What they would send; empty where that is not known. */
  readonly properties: readonly string[];
  /** Of their rows. */
  readonly keys: readonly string[];
};

export async function readWaiting({ query }: World): Promise<readonly WaitingPushes[]> {
  const rows = await query(`
    SELECT w.entity, w.op, w.state, w.park_reason, min(coalesce(w.error, tried.error)) AS error,
        array_agg(DISTINCT w.target_key) AS keys, array_agg(DISTINCT name) FILTER (WHERE name IS NOT NULL) AS names
      FROM sync.outbox_pushes AS w
      LEFT JOIN LATERAL (${LAST_TRY}) AS tried ON true
      LEFT JOIN LATERAL jsonb_object_keys(coalesce(w.patch, tried.patch)) AS name ON true
      WHERE w.state <> 'done' AND NOT ${HELD_BY_CONFLICT} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`);
  return rows.map(({ entity, op, state, park_reason, error, keys, names }) => ({
    entity: String(entity),
    op: String(op),
    state: String(state),
    reason: park_reason === null ? null : String(park_reason),
    error: error === null ? null : String(error),
    properties: textsOf(names),
    keys: textsOf(keys),
  }));
}

/** A push that is to be made again says nothing itself: the one before it of the same row does. */
const LAST_TRY = `
  SELECT d.error, d.patch FROM sync.outbox_pushes AS d
  WHERE d.integration = w.integration AND d.entity = w.entity AND d.target_key = w.target_key
    AND d.state = 'done' AND d.error IS NOT NULL
  ORDER BY d.finished_at DESC LIMIT 1`;

const textsOf = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/** A line each, with the way out. */
export function wordsOfWaiting({ entity, op, state, reason, error, properties, keys }: WaitingPushes): string {
  const what = properties.length === 0 ? '' : ` of ${properties.map((name) => `\`${name}\``).join(', ')}`;
  const example = error === null ? '' : `, such as: ${error}`;
  const why = reason === null ? `still ${state}` : `parked as ${reason}`;
  const wayOut = WAYS_OUT[reason ?? 'cannot_settle'] ?? '';
  return `${entity}: ${keys.length} × ${op}${what} ${why}${example}. ${wayOut}`.trimEnd();
}

const WAYS_OUT: { readonly [reason: string]: string } = {
  refused:
    'The source does not take it: correct `write`, or leave the property to the source (`write.readOnly`, `write.createOnly`).',
  create_unknown:
    'Nobody knows whether it was made: correct where the answer is read (`record`, `id`, `answers`), or declare `write.idempotency` or `write.marker`.',
  loop_suspected: 'Something edits the row at each write: does the source change what it is sent each time?',
  unmappable: 'The value has no way back: correct the steps of its mapping, or name it in `write.readOnly`.',
  cannot_settle:
    'What the source answers does not fit: correct `path` of the write, or where its answer is read (`record`, `id`, `answers`).',
  mass_delete: 'So many removals wait for a person: see `write.massDelete`.',
};
