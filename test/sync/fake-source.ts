import type { Db } from '../../src/db/connect.ts';
import { readDatabaseNow } from '../../src/db/instants.ts';
import type { Instant } from '../../src/model/instant.ts';
import type { JsonValue } from '../../src/model/json.ts';
import type { Page, Sighting, SourceClient } from '../../src/source/client.ts';
import type { Customer } from './shop.ts';

export type FakeSource = SourceClient & {
  /** By id; what stands here is what the source holds. A key may differ from the record's own id. */
  readonly records: Map<string, Customer>;
  /** Items that lists show beside the records. */
  extraItems: unknown[];
  pageSize: number;
  /** Called before a page is shown, with its cursor (null: the first); may throw, wait, or change records. */
  onPage: (cursor: string | null, signal: AbortSignal) => Promise<void> | void;
  /** Called while a page travels: what it shows is fixed, its time of arrival is not. */
  onTravel: () => Promise<void> | void;
  onGet: (id: string, signal: AbortSignal) => Promise<void> | void;
  /** Cursors of the pages asked for, and the queries they came with. */
  readonly listed: { readonly cursor: string | null; readonly query: Readonly<Record<string, JsonValue>> }[];
  readonly got: string[];
  onGetMany: (ids: readonly string[], signal: AbortSignal) => Promise<void> | void;
  readonly gotMany: string[][];
};

/** A source in memory: lists in the order of ids with a cursor, filters by `since` on the version, answers reads by id. */
export function createFakeSource(db: Db): FakeSource {
  const source: FakeSource = {
    records: new Map(),
    extraItems: [],
    pageSize: 100,
    onPage: () => {},
    onTravel: () => {},
    onGet: () => {},
    listed: [],
    got: [],
    onGetMany: () => {},
    gotMany: [],
    async *listPages(_list, { params = {}, cursor: from = null, signal }) {
      let cursor = from;
      for (;;) {
        signal.throwIfAborted();
        const startedAt = await readDatabaseNow(db);
        source.listed.push({ cursor, query: params });
        await source.onPage(cursor, signal);
        const page = await pageAfter(cursor, params.since, startedAt);
        yield page;
        if (page.nextCursor === null) return;
        cursor = page.nextCursor;
      }
    },
    async getRecord(_get, id, { signal }): Promise<Sighting> {
      const startedAt = await readDatabaseNow(db);
      source.got.push(id);
      await source.onGet(id, signal);
      const record = source.records.get(id);
      const endedAt = await readDatabaseNow(db);
      if (record === undefined) return { kind: 'absent', startedAt, endedAt };
      return { kind: 'found', record: { ...record }, etag: null, startedAt, endedAt };
    },
    async getRecords(_getMany, ids, { signal }) {
      const startedAt = await readDatabaseNow(db);
      source.gotMany.push([...ids]);
      await source.onGetMany(ids, signal);
      const endedAt = await readDatabaseNow(db);
      const shown = ids.flatMap((id) => {
        const record = source.records.get(id);
        return record === undefined
          ? []
          : [[id, { kind: 'found' as const, record: { ...record }, etag: null, startedAt, endedAt }] as const];
      });
      return new Map(shown);
    },
    send: async () => {
      throw new Error('not here');
    },
    write: async () => {
      throw new Error('not here');
    },
    limits: async () => [],
    close: async () => {},
  };

  async function pageAfter(cursor: string | null, since: JsonValue | undefined, startedAt: Instant): Promise<Page> {
    const ids = [...source.records.keys()].sort().filter((id) => cursor === null || id > cursor);
    const wanted = ids.filter((id) => since === undefined || (source.records.get(id)?.version ?? 0) >= Number(since));
    const shown = wanted.slice(0, source.pageSize);
    const isLast = wanted.length <= source.pageSize;
    const items: unknown[] = shown.map((id) => ({ ...source.records.get(id) }));
    if (isLast) items.push(...source.extraItems);
    await source.onTravel();
    return {
      items,
      startedAt,
      endedAt: await readDatabaseNow(db),
      cursor,
      nextCursor: isLast ? null : (shown.at(-1) ?? null),
    };
  }
  return source;
}
