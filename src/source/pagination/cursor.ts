import { z } from 'zod';
import { kindOf } from '../../lib/kind.ts';
import { readPath } from '../../lib/path.ts';
import { mustParsePath, pathSchema } from '../../lib/path-schema.ts';
import { SourceError } from '../error.ts';
import type { PageAnswer, Paginator } from './paginator.ts';

/** A longer one would not fit into a URL that servers take. */
const MAX_CURSOR_LENGTH = 4_096;

export const cursorSchema = z
  .strictObject({
    kind: z.literal('cursor'),
    param: z.string().min(1),
    next: pathSchema.optional(),
    itemField: pathSchema.optional(),
    hasMore: pathSchema.optional(),
  })
  .refine((page) => (page.next === undefined) !== (page.itemField === undefined), {
    message:
      'expected either `next`, where the answer names its next cursor, or `itemField`, the field of the last item',
  })
  .refine((page) => page.itemField === undefined || page.hasMore !== undefined, {
    message: 'expected `hasMore` beside `itemField`: without it nothing tells where the list ends',
    path: ['hasMore'],
  });

type CursorOptions =
  | {
      /** Query parameter that takes the cursor. */
      readonly param: string;
      /** Dot path in the answer to the next cursor. Missing, null, false or empty at the end. */
      readonly next: string;
      /** Dot path to a boolean, where the answer has one. It decides then. */
      readonly hasMore?: string;
      readonly itemField?: never;
    }
  | {
      readonly param: string;
      /** Dot path in an item: the last item's value is the next cursor. Stripe: `{ param: 'starting_after', itemField: 'id', hasMore: 'has_more' }`. */
      readonly itemField: string;
      readonly hasMore: string;
      readonly next?: never;
    };
export type CursorDefinition = CursorOptions & { readonly kind: 'cursor' };

/** Each page names the cursor of the next one, in its body or by its last item. */
export const cursor = (options: CursorOptions): CursorDefinition => ({ kind: 'cursor', ...options });

export function createCursor(definition: CursorOptions): Paginator {
  const { param } = definition;
  const hasMore =
    definition.hasMore === undefined ? null : { text: definition.hasMore, path: mustParsePath(definition.hasMore) };
  const text = definition.next ?? definition.itemField;
  const path = mustParsePath(text);
  return {
    isResumable: true,
    target: (at) => ({ kind: 'params', params: at === null ? {} : { [param]: at } }),
    next: (answer) => {
      const goesOn = hasMore === null ? null : readHasMore(answer, hasMore);
      if (goesOn === false) return null;
      const isFromItem = definition.next === undefined;
      const found = readPath(isFromItem ? answer.items.at(-1) : answer.body, path);
      const next = readCursor(found.found ? found.value : undefined);
      const place = isFromItem ? `\`${text}\` of the last item` : `\`${text}\``;
      if (next.kind === 'unreadable') throw invalid(answer, `${place}: expected a cursor, got ${next.got}`);
      // Ending the list here would look like a complete one, and what comes after would count as deleted.
      if (next.kind === 'end' && goesOn)
        throw invalid(answer, `${place}: says that there is more, but names no cursor`);
      return next.kind === 'end' ? null : next.cursor;
    },
  };
}

type CursorRead =
  | { readonly kind: 'cursor'; readonly cursor: string }
  | { readonly kind: 'end' }
  | { readonly kind: 'unreadable'; readonly got: string };

function readCursor(value: unknown): CursorRead {
  if (value === undefined || value === null || value === false || value === '') return { kind: 'end' };
  if (typeof value === 'number' && Number.isSafeInteger(value)) return { kind: 'cursor', cursor: String(value) };
  if (typeof value !== 'string') return { kind: 'unreadable', got: kindOf(value) };
  if (value.length > MAX_CURSOR_LENGTH)
    return { kind: 'unreadable', got: `a string over ${MAX_CURSOR_LENGTH} characters` };
  return { kind: 'cursor', cursor: value };
}

function readHasMore(answer: PageAnswer, { text, path }: { text: string; path: readonly string[] }): boolean {
  const found = readPath(answer.body, path);
  const value = found.found ? found.value : undefined;
  if (typeof value !== 'boolean') throw invalid(answer, `\`${text}\`: expected a boolean, got ${kindOf(value)}`);
  return value;
}

const invalid = (answer: PageAnswer, what: string): SourceError =>
  new SourceError('invalid_response', `${answer.endpoint}: ${what}`);
