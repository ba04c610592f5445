import { isDeepStrictEqual } from 'node:util';
import type { Db } from '../../../src/db/connect.ts';
import { readDatabaseNow } from '../../../src/db/instants.ts';
import type { SavedRequest } from '../../../src/model/push.ts';
import type { Sighting } from '../../../src/source/client.ts';
import type { PushAnswer, PushSource } from '../../../src/sync/push-answer.ts';

export type ShopRecord = { readonly id: string; readonly version: number; readonly [field: string]: unknown };

/** What happens to one request. The default is to carry it out and to answer. */
export type Fate =
  | { readonly kind: 'answer'; readonly answer: PushAnswer }
  /** It never arrives. */
  | { readonly kind: 'lost' }
  /** Carried out, and the answer is lost. */
  | { readonly kind: 'answer_lost' }
  /** Not yet carried out, and no answer: `carryOutLate` does it. */
  | { readonly kind: 'late' }
  /** Something happens before it is carried out, or after it and before the answer arrives. */
  | { readonly kind: 'with'; readonly before?: () => Promise<void>; readonly after?: () => Promise<void> };

/** A source in memory that does with requests what a test says. */
export function createFakeShop(db: Db) {
  const records = new Map<string, ShopRecord>();
  const sent: SavedRequest[] = [];
  const answered = new Map<string, { request: string; answer: PushAnswer }>();
  const late: (() => Promise<void>)[] = [];
  let lastId = 0;

  const shop = {
    records,
    /** Every request that left, in order. */
    sent,
    fates: [] as Fate[],
    reads: [] as string[],
    /** Requests that changed something. */
    writes: 0,
    knowsKeys: false,
    /** Ids of the next records, where they are keys that were there before. */
    ids: [] as string[],
    /** A write that changes nothing makes a new version for all that. */
    touches: true,
    /** Answers show the record. */
    showsRecord: true,
    normalise: (fields: { readonly [field: string]: unknown }) => fields,
    onRead: (async () => {}) as (id: string) => Promise<void>,
    async carryOutLate() {
      for (const one of late.splice(0)) await one();
    },
    /** Somebody else's change. */
    change(id: string, fields: { readonly [field: string]: unknown }) {
      const before = records.get(id);
      records.set(id, { ...before, ...fields, id, version: (before?.version ?? 0) + 1 });
    },
    source: {} as PushSource,
  };

  const conflict: PushAnswer = { kind: 'conflict', code: 'conflict', words: 'PATCH: answered 412' };
  const absent: PushAnswer = { kind: 'absent', code: 'not_found', words: 'PATCH: answered 404' };
  const unknown: PushAnswer = { kind: 'unknown', code: 'timeout', words: 'no whole answer' };

  async function carryOut(request: SavedRequest): Promise<PushAnswer> {
    const startedAt = await readDatabaseNow(db);
    const done = async (record: unknown): Promise<PushAnswer> => {
      shop.writes += 1;
      const shown = shop.showsRecord ? record : null;
      return { kind: 'done', record: shown, etag: null, startedAt, endedAt: await readDatabaseNow(db) };
    };
    const fields = shop.normalise(request.body === null ? {} : JSON.parse(request.body));
    const id = request.values.id ?? shop.ids.shift() ?? `shop-${++lastId}`;
    const before = records.get(id);
    if (request.method === 'POST') {
      const record = { amount: 1, code: null, ...fields, id, version: 1 };
      records.set(id, record);
      return await done({ ...record });
    }
    if (before === undefined) return absent;
    const ifMatch = request.headers['if-match'];
    if (ifMatch !== undefined && ifMatch !== `"${before.version}"`) return conflict;
    if (request.method === 'DELETE') {
      records.delete(id);
      return await done(null);
    }
    if (!shop.touches && isDeepStrictEqual({ ...before, ...fields }, before)) return await done({ ...before });
    const record = { ...before, ...fields, version: before.version + 1 };
    records.set(id, record);
    return await done({ ...record });
  }

  async function answerTo(request: SavedRequest): Promise<PushAnswer> {
    const key = request.headers['idempotency-key'];
    const text = JSON.stringify(request);
    const kept = key === undefined || !shop.knowsKeys ? undefined : answered.get(key);
    if (kept !== undefined) {
      if (kept.request === text) return kept.answer;
      return { kind: 'refused', code: 'bad_request', words: 'POST: answered 422: the key stands for another request' };
    }
    const answer = await carryOut(request);
    if (key !== undefined && answer.kind === 'done') answered.set(key, { request: text, answer });
    return answer;
  }

  shop.source = {
    async send(request, { mayLeave }) {
      if (!(await mayLeave()))
        return { kind: 'later', code: 'withheld', words: 'not sent', waitMs: null, isLimit: false };
      sent.push(request);
      const fate = shop.fates.shift() ?? { kind: 'with' };
      switch (fate.kind) {
        case 'answer':
          return fate.answer;
        case 'lost':
          return unknown;
        case 'answer_lost':
          await answerTo(request);
          return unknown;
        case 'late':
          late.push(async () => void (await answerTo(request)));
          return unknown;
        case 'with': {
          await fate.before?.();
          const answer = await answerTo(request);
          await fate.after?.();
          return answer;
        }
      }
    },
    async read(id): Promise<Sighting> {
      const startedAt = await readDatabaseNow(db);
      shop.reads.push(id);
      await shop.onRead(id);
      const record = records.get(id);
      const endedAt = await readDatabaseNow(db);
      if (record === undefined) return { kind: 'absent', startedAt, endedAt };
      return { kind: 'found', record: { ...record }, etag: null, startedAt, endedAt };
    },
    async findByMarker(marker): Promise<Sighting> {
      const startedAt = await readDatabaseNow(db);
      const record = [...records.values()].find((one) => one.origin === marker);
      const endedAt = await readDatabaseNow(db);
      if (record === undefined) return { kind: 'absent', startedAt, endedAt };
      return { kind: 'found', record: { ...record }, etag: null, startedAt, endedAt };
    },
  };
  return shop;
}
