import type { Instant } from '../../src/model/instant.ts';
import { addMs } from '../../src/model/instant.ts';
import { SourceError } from '../../src/source/error.ts';
import type { Actor } from './actors.ts';
import type { Clock } from './clock.ts';
import type { Faults } from './faults.ts';
import { type ModelSource, type Raw, showRecord } from './model-source.ts';
import type { Random } from './random.ts';
import { momentAt } from './source-history.ts';

export type ReadDeps = { source: ModelSource; clock: Clock; random: Random; faults: Faults };
/** While records are hidden, reads and lists show none of them, and say nothing of why. */
type Hiding = { isHidden: () => boolean };
export type Seen = { readonly record: Raw | null; readonly startedAt: Instant; readonly endedAt: Instant };
export type SeenPage = {
  readonly items: readonly Raw[];
  readonly nextCursor: string | null;
  readonly startedAt: Instant;
  readonly endedAt: Instant;
};

const THROTTLED_MS = 2_000;

/** What our workers can ask the source, each question with the time that it takes. */
export function createReads({ source, clock, random, faults, isHidden }: ReadDeps & Hiding) {
  const { shape, records } = source;

  /** The moment whose state an answer shows: now, or earlier by at most the lag before the question. */
  function viewAt(startedAt: Instant): Instant {
    if (!faults.strikes('read_lagging')) return clock.at();
    const from = addMs(startedAt, -shape.lagMs);
    return from + Math.floor(random.next() * (clock.at() - from));
  }

  function fail(timeout: 'read_timeout' | 'list_timeout'): void {
    if (faults.strikes(timeout)) throw new SourceError('timeout', 'GET: no answer in time');
    if (faults.strikes('read_throttled'))
      throw new SourceError('rate_limited', 'GET: 429', { status: 429, retryAfterMs: THROTTLED_MS });
    if (faults.strikes('read_refused')) throw new SourceError('unauthorized', 'GET: 401', { status: 401 });
    if (faults.strikes('read_forbidden')) throw new SourceError('forbidden', 'GET: 403', { status: 403 });
  }

  async function ask<T>(
    actor: Actor,
    what: string,
    answer: (at: Instant) => T,
  ): Promise<T & { startedAt: Instant; endedAt: Instant }> {
    const startedAt = clock.read();
    await actor.gate(`${what} sent`);
    source.tick();
    fail(what === 'get' ? 'read_timeout' : 'list_timeout');
    const shown = answer(viewAt(startedAt));
    await actor.gate(`${what} answered`);
    return { ...shown, startedAt, endedAt: clock.read() };
  }

  return {
    get: (actor: Actor, id: string): Promise<Seen> =>
      ask(actor, 'get', (at) => {
        const record = records.get(id);
        const moment = record === undefined ? null : momentAt(record, at);
        if (record === undefined || moment === null || moment.fields === null || isHidden()) return { record: null };
        return { record: showRecord(record, moment) };
      }),

    /** Records that carry this marker. */
    search: (actor: Actor, marker: string): Promise<{ items: Raw[]; startedAt: Instant; endedAt: Instant }> =>
      ask(actor, 'search', (at) => ({
        items: rowsAt(at, null).filter((row) => row.marker === marker && !row.isDeleted),
      })),

    /** One page: of all records by id, or of what changed since a key, in the order of change. */
    list: (actor: Actor, { since, cursor }: { since: bigint | null; cursor: string | null }): Promise<SeenPage> =>
      ask(actor, 'list', (at) => pageOf(rowsAt(at, since), cursor, since !== null)),
  };

  function rowsAt(at: Instant, since: bigint | null): Raw[] {
    const rows: Raw[] = [];
    if (isHidden()) return rows;
    for (const record of records.values()) {
      const moment = momentAt(record, at);
      if (moment === null || (moment.fields === null && (!shape.showsDeleted || since === null))) continue;
      if (since === null || (moment.version !== null && moment.version >= since)) rows.push(showRecord(record, moment));
    }
    return rows;
  }

  function pageOf(
    rows: Raw[],
    cursor: string | null,
    isByChange: boolean,
  ): { items: Raw[]; nextCursor: string | null } {
    const place = (row: Raw): string => (isByChange ? `${String(row.version).padStart(20, '0')} ${row.id}` : row.id);
    const sorted = rows.map((row) => [place(row), row] as const).sort(([left], [right]) => (left < right ? -1 : 1));
    const isOffset = shape.paging === 'offset';
    const start = cursor === null ? 0 : isOffset ? Number(cursor) : sorted.findIndex(([at]) => at > cursor);
    const from = start < 0 ? sorted.length : start;
    const shown = sorted.slice(from, from + shape.pageSize);
    const isLast = from + shown.length >= sorted.length;
    const next = isOffset ? String(from + shown.length) : (shown.at(-1)?.[0] ?? null);
    return { items: shown.map(([, row]) => row), nextCursor: isLast ? null : next };
  }
}

export type Reads = ReturnType<typeof createReads>;
