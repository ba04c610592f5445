import type { Instant } from '../../src/model/instant.ts';
import type { JsonValue } from '../../src/model/json.ts';

/** Fields as the source holds them, without the id. */
export type Fields = { readonly [field: string]: JsonValue };

/** What a record was from `at` on, until its next moment. */
export type Moment = {
  readonly index: number;
  readonly at: Instant;
  readonly fields: Fields | null;
  /** Counter, or stamp in microseconds; of a deletion as well. Null where the source has none. */
  readonly version: bigint | null;
  readonly etag: string;
  /** The id of the write of ours that made this very moment. */
  readonly tokenId: string | null;
};

export type SourceRecord = {
  readonly id: string;
  readonly moments: Moment[];
  /** Marker of the create that made it, where the source keeps one. */
  readonly marker: string | null;
};

export const lastMoment = ({ moments }: SourceRecord): Moment => {
  const last = moments.at(-1);
  if (last === undefined) throw new Error('A record without a moment');
  return last;
};

/** The moment in force at `at`; null before the record existed. */
export function momentAt({ moments }: SourceRecord, at: Instant): Moment | null {
  for (let place = moments.length - 1; place >= 0; place--) {
    const moment = moments[place];
    if (moment !== undefined && moment.at <= at) return moment;
  }
  return null;
}
