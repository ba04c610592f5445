import type { LeasedHint } from '../model/hint.ts';
import type { Sighting } from '../source/client.ts';
import { DEFAULT_IDS_PER_REQUEST } from '../source/definition.ts';
import { SourceError } from '../source/error.ts';
import type { Lane } from '../source/lane.ts';
import type { IngestDeps } from './ingest.ts';
import type { Stream } from './stream.ts';

/** Later attempts are read one by one: a request of many may fail for one of them, or be too much for the source. */
const MAX_ATTEMPTS_TOGETHER = 2;

/** What is known of a hint's record before it is read by itself. */
export type Early =
  | { readonly kind: 'shown'; readonly sighting: Sighting }
  /** The source is away: another request for the one record would fare no better. */
  | { readonly kind: 'failed'; readonly error: SourceError };

/**
 * Reads the records of one stream's hints together, where the source can. A record that the answer does not show is left to
 * a read of its own, since only that is evidence of absence, and so is everything when the request of many itself is refused.
 * @returns what was learnt, by the hint's id. Throws only what is no `SourceError`.
 */
export async function readTogether(
  deps: IngestDeps,
  stream: Stream,
  hints: readonly LeasedHint[],
  signal: AbortSignal,
): Promise<ReadonlyMap<number, Early>> {
  const known = new Map<number, Early>();
  const { getMany } = stream;
  const fit = hints.filter(({ attempt }) => attempt <= MAX_ATTEMPTS_TOGETHER);
  if (getMany === null || fit.length < 2) return known;
  const size = getMany.max ?? DEFAULT_IDS_PER_REQUEST;
  const chunks = Array.from({ length: Math.ceil(fit.length / size) }, (_, place) =>
    fit.slice(place * size, (place + 1) * size),
  );
  await Promise.all(
    chunks.map(async (chunk) => {
      const ids = [...new Set(chunk.map(({ externalId }) => externalId))];
      try {
        const shown = await stream.client.getRecords(getMany, ids, { lane: laneOf(chunk), signal });
        for (const { id, externalId } of chunk) {
          const sighting = shown.get(externalId);
          if (sighting?.kind === 'found') known.set(id, { kind: 'shown', sighting });
        }
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
        if (isOfAllReads(error)) for (const { id } of chunk) known.set(id, { kind: 'failed', error });
        else deps.log.warn({ ...stream.key, code: error.code }, 'reading many at once failed, reading one by one');
      }
    }),
  );
  return known;
}

/** Reads that runs ask for beside their pages stand back behind those that deliveries ask for. */
export const laneOf = (hints: readonly LeasedHint[]): Lane => (hints.some((hint) => hint.isUrgent) ? 'urgent' : 'full');

const isOfAllReads = (error: SourceError): boolean =>
  error.isRetryable || error.code === 'unauthorized' || error.code === 'aborted';
