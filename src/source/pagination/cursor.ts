import { z } from 'zod';
import { pathSchema } from '../../lib/path-schema.ts';
import {
  fieldOf,
  invalidAnswer,
  moreWithoutCursor,
  optionalFieldOf,
  readCursor,
  readField,
  readHasMore,
} from './answer-field.ts';
import { MAX_CURSOR_LENGTH, notOurs, type PageAnswer, type Paginator, resizeFreely } from './paginator.ts';

export const cursorSchema = z
  .strictObject({
    kind: z.literal('cursor'),
    param: z.string().min(1),
    next: pathSchema.optional(),
    nextHeader: z.string().min(1).optional(),
    itemField: pathSchema.optional(),
    hasMore: pathSchema.optional(),
  })
  .refine((page) => [page.next, page.nextHeader, page.itemField].filter((place) => place !== undefined).length === 1, {
    message:
      'expected one of `next` or `nextHeader`, where the answer names its next cursor, and `itemField`, the field of the last item',
  })
  .refine((page) => page.itemField === undefined || page.hasMore !== undefined, {
    message: 'expected `hasMore` beside `itemField`: without it nothing tells where the list ends',
    path: ['hasMore'],
  });

type CursorOptions =
  | {
      /** Parameter that takes the cursor. */
      readonly param: string;
      /** Dot path in the answer to the next cursor. Missing, null, false or empty at the end. */
      readonly next: string;
      /** Dot path to a boolean, where the answer has one. It decides then. */
      readonly hasMore?: string;
      readonly nextHeader?: never;
      readonly itemField?: never;
    }
  | {
      readonly param: string;
      /** Header of the answer that holds the next cursor: `x-next-cursor`. Missing or empty at the end. */
      readonly nextHeader: string;
      readonly hasMore?: string;
      readonly next?: never;
      readonly itemField?: never;
    }
  | {
      readonly param: string;
      /** Dot path in an item: the last item's value is the next cursor. Stripe: `{ param: 'starting_after', itemField: 'id', hasMore: 'has_more' }`. */
      readonly itemField: string;
      readonly hasMore: string;
      readonly next?: never;
      readonly nextHeader?: never;
    };
export type CursorDefinition = CursorOptions & { readonly kind: 'cursor' };

/** Each page names the cursor of the next one: in its body, in a header, or by its last item. */
export const cursor = (options: CursorOptions): CursorDefinition => ({ kind: 'cursor', ...options });

export function createCursor(definition: CursorOptions): Paginator {
  const { param } = definition;
  const hasMore = optionalFieldOf(definition.hasMore);
  const { place, read } = placeOf(definition);
  return {
    isResumable: true,
    target: (at) => {
      if (at === '' || (at !== null && at.length > MAX_CURSOR_LENGTH)) throw notOurs();
      return { kind: 'params', params: at === null ? {} : { [param]: at } };
    },
    next: (answer) => {
      const goesOn = hasMore === null ? null : readHasMore(answer, hasMore);
      if (goesOn === false) return null;
      const next = readCursor(answer, read(answer), place);
      if (next === null && goesOn) throw moreWithoutCursor(answer, place);
      return next;
    },
    resize: resizeFreely,
  };
}

type CursorPlace = { readonly place: string; readonly read: (answer: PageAnswer) => unknown };

function placeOf({ next, nextHeader, itemField }: CursorOptions): CursorPlace {
  if (nextHeader !== undefined) {
    const name = nextHeader.toLowerCase();
    const place = `the header ${name}`;
    return {
      place,
      read: (answer) => {
        const value = answer.headers[name];
        if (Array.isArray(value)) throw invalidAnswer(answer, `${place}: comes more than once`);
        return value;
      },
    };
  }
  if (next !== undefined) {
    const field = fieldOf(next);
    return { place: `\`${next}\``, read: ({ body }) => readField(body, field) };
  }
  const field = fieldOf(itemField);
  return { place: `\`${itemField}\` of the last item`, read: ({ items }) => readField(items.at(-1), field) };
}
