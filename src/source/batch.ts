import { z } from 'zod';
import { readPath } from '../lib/path.ts';
import { mustParsePath, pathSchema } from '../lib/path-schema.ts';
import type { JsonValue } from '../model/json.ts';
import type { SourceErrorCode } from './error.ts';
import { placeParams } from './params.ts';

/** How an endpoint takes many items in one request, and how its answer tells of each. */
export type BatchForm = {
  /** Items in one request, at most. */
  readonly max: number;
  /** Size of the items in one request as JSON. Default 1 MiB. */
  readonly maxBytes?: number;
  /** Dot path in the body where the array of items goes. Default: the body is the array. */
  readonly items?: string;
  /** Dot path to the array of results in the answer. Default: the answer is that array. */
  readonly results?: string;
  /** Dot paths by whose values an item finds its result. Without it the n-th result is the n-th item's. */
  readonly key?: { readonly item: string; readonly result: string };
  /** Dot path in a result to its value. Default: the result. */
  readonly value?: string;
  /** Dot path in a result that says by anything but null, false, empty text or an empty list that the item failed. */
  readonly error?: string;
  /** Dot path in a result to its HTTP status: the item failed unless it is 2xx. */
  readonly status?: string;
  /** Failures that stand in a list of their own, with a dot path to the key, or list of keys, of the items that they mean. Needs `key`. */
  readonly failures?: { readonly at: string; readonly key: string };
};

/**
 * What became of one item. `refused`: the source says that it failed. `unknown`: the answer does not tell, so it may have
 * been done or not. `not_sent`: an earlier request failed in a way that a further one would meet too.
 */
export type BatchResult<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly code: BatchCode; readonly status: number | null };
export type BatchCode = SourceErrorCode | 'refused' | 'unknown' | 'not_sent';

const DEFAULT_MAX_BATCH_BYTES = 1024 * 1024;
const MAX_MAX_BATCH_BYTES = 64 * 1024 * 1024;
const MAX_MAX_ITEMS = 10_000;
/** Items of one call. Larger amounts are several calls, so that nobody waits for one answer for hours. */
export const MAX_CALL_ITEMS = 10_000;

export const batchSchema = z
  .strictObject({
    max: z.int().min(1).max(MAX_MAX_ITEMS),
    maxBytes: z.int().min(1).max(MAX_MAX_BATCH_BYTES).optional(),
    items: pathSchema.optional(),
    results: pathSchema.optional(),
    key: z.strictObject({ item: pathSchema, result: pathSchema }).optional(),
    value: pathSchema.optional(),
    error: pathSchema.optional(),
    status: pathSchema.optional(),
    failures: z.strictObject({ at: pathSchema, key: pathSchema }).optional(),
  })
  .refine(({ key, failures }) => failures === undefined || key !== undefined, {
    error: 'needs `key`: by it an item is known',
    path: ['failures'],
  });

/** Places of items that go into one request. */
export type Group = readonly number[];

/** Cuts items, in their order, into groups within the bounds. An item that is over them by itself is in none. */
export function groupItems(items: readonly (JsonValue | null)[], form: BatchForm): readonly Group[] {
  const maxBytes = form.maxBytes ?? DEFAULT_MAX_BATCH_BYTES;
  const groups: number[][] = [];
  let bytes = 0;
  for (const [place, item] of items.entries()) {
    if (item === null) continue;
    const size = Buffer.byteLength(JSON.stringify(item)) + 1;
    if (size > maxBytes) continue;
    const group = groups.at(-1);
    if (group === undefined || group.length >= form.max || bytes + size > maxBytes) {
      groups.push([place]);
      bytes = size;
    } else {
      group.push(place);
      bytes += size;
    }
  }
  return groups;
}

/** The body of one request. */
export const batchBody = (items: readonly JsonValue[], { items: at = '' }: BatchForm): JsonValue =>
  at === '' ? items : placeParams({ body: {} }, { [at]: items });

/** What the answer says of one item, before its value is checked. */
export type ItemResult =
  | { readonly kind: 'done'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly status: number | null }
  | { readonly kind: 'unknown' };

/**
 * What the answer to one request says of each of its items, in their order. What it does not tell is `unknown`, never
 * done; so are all of them where results go by their place and their number is not that of the items, and all items of one
 * key where it is not clear whose result is whose.
 */
export function readResults(items: readonly JsonValue[], body: unknown, form: BatchForm): readonly ItemResult[] {
  const results = listAt(body, form.results ?? '');
  if (form.key === undefined) {
    if (results.length !== items.length) return items.map(() => UNKNOWN);
    return results.map((result) => judge(result, form));
  }
  const places = placesByKey(items, form.key.item);
  const found = placesByKey(results, form.key.result);
  const failed = new Set(form.failures === undefined ? [] : failedKeys(body, form.failures));
  const told: ItemResult[] = items.map(() => UNKNOWN);
  for (const [key, own] of places) {
    const judged = (found.get(key) ?? []).map((place) => judge(results[place], form));
    const ofKey = judgeKey(own.length, judged, failed.has(key));
    for (const [index, place] of own.entries()) told[place] = ofKey[index] ?? UNKNOWN;
  }
  return told;
}

/**
 * What became of `count` items of one key, in their order; nothing where that is not clear. `judged` are the results with
 * that key. A failure that is listed counts for more than a result: some answers repeat every item beside it.
 */
function judgeKey(count: number, judged: readonly ItemResult[], isListedAsFailed: boolean): readonly ItemResult[] {
  if (isListedAsFailed) return judged.length === 0 || count === 1 ? Array(count).fill(REFUSED) : [];
  const isClear = judged.length === count && new Set(judged.map(({ kind }) => kind)).size === 1;
  return isClear ? judged : [];
}

/** Where the values of each key stand. Those without a key are left out. */
function placesByKey(values: readonly unknown[], path: string): ReadonlyMap<string, readonly number[]> {
  const places = new Map<string, number[]>();
  for (const [place, value] of values.entries()) {
    const key = keyAt(value, path);
    if (key === null) continue;
    const known = places.get(key);
    if (known === undefined) places.set(key, [place]);
    else known.push(place);
  }
  return places;
}

const HTTP_STATUS = /^[1-5]\d\d$/;
const UNKNOWN: ItemResult = { kind: 'unknown' };
const REFUSED: ItemResult = { kind: 'refused', status: null };

function judge(result: unknown, form: BatchForm): ItemResult {
  if (result === null || result === undefined) return UNKNOWN;
  if (form.status !== undefined) {
    const text = textOf(valueAt(result, form.status));
    if (text === null || !HTTP_STATUS.test(text)) return UNKNOWN;
    const status = Number(text);
    if (status < 200 || status > 299) return { kind: 'refused', status };
  }
  if (form.error !== undefined && isSaid(valueAt(result, form.error))) return { kind: 'refused', status: null };
  const value = form.value === undefined ? result : valueAt(result, form.value);
  return { kind: 'done', value };
}

const isSaid = (value: unknown): boolean =>
  Array.isArray(value) ? value.length > 0 : value !== undefined && value !== null && value !== false && value !== '';

function failedKeys(body: unknown, { at, key }: NonNullable<BatchForm['failures']>): readonly string[] {
  return listAt(body, at).flatMap((failure) => {
    const named = valueAt(failure, key);
    return (Array.isArray(named) ? named : [named]).flatMap((one) => textOf(one) ?? []);
  });
}

function listAt(body: unknown, path: string): readonly unknown[] {
  const found = valueAt(body, path);
  return Array.isArray(found) ? found : [];
}

function valueAt(value: unknown, path: string): unknown {
  const read = readPath(value, mustParsePath(path));
  return read.found ? read.value : undefined;
}

const keyAt = (value: unknown, path: string): string | null => textOf(valueAt(value, path));
const textOf = (value: unknown): string | null =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : null;
