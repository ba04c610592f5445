import { z } from 'zod';
import { kindOf } from '../../lib/kind.ts';
import { pathSchema } from '../../lib/path-schema.ts';
import {
  assertCursor,
  type Field,
  fieldOf,
  invalidAnswer,
  moreWithoutCursor,
  optionalFieldOf,
  readField,
  readHasMore,
} from './answer-field.ts';
import { compareKeys, type Key, type KeyOrder, parseKey } from './key-order.ts';
import { MAX_CURSOR_LENGTH, notOurs, type PageAnswer, type Paginator, resizeFreely } from './paginator.ts';

export const keysetSchema = z.strictObject({
  kind: z.literal('keyset'),
  param: z.string().min(1),
  field: pathSchema.refine((path) => path !== '', { message: 'expected a path, such as id' }),
  hasMore: pathSchema.optional(),
  order: z.enum(['number', 'text']).optional(),
});

type KeysetOptions = {
  /** Parameter that asks for the records after a key: `since_id`. */
  readonly param: string;
  /** Dot path in a record to its key, which is unique and never changes. */
  readonly field: string;
  /** Dot path to a boolean, where the answer has one. Without it the list ends at an empty page. */
  readonly hasMore?: string;
  /**
   * How the source orders keys. Default: two whole numbers, digits in a string included, as numbers; anything else as
   * text, by code units.
   */
  readonly order?: KeyOrder;
};
export type KeysetDefinition = KeysetOptions & { readonly kind: 'keyset' };

/**
 * The records after a key, in ascending order of it: each page goes on after the last record of the one before. What
 * is inserted or deleted meanwhile moves nothing.
 */
export const keyset = (options: KeysetOptions): KeysetDefinition => ({ kind: 'keyset', ...options });

export function createKeyset({ param, field: text, hasMore: hasMoreText, order }: KeysetOptions): Paginator {
  const field = fieldOf(text);
  const hasMore = optionalFieldOf(hasMoreText);
  return {
    isResumable: true,
    target: (cursor) => ({ kind: 'params', params: cursor === null ? {} : { [param]: readStored(cursor) } }),
    next: (answer) => {
      const goesOn = hasMore === null ? answer.items.length > 0 : readHasMore(answer, hasMore);
      const last = lastKey(answer, field, order);
      if (!goesOn) return null;
      if (last === null) throw moreWithoutCursor(answer, 'an empty page');
      assertCursor(answer, String(last), place(field));
      const cursor = JSON.stringify(last);
      assertCursor(answer, cursor, place(field)); // escapes make it longer
      return cursor;
    },
    resize: resizeFreely,
  };
}

const place = ({ text }: Field): string => `\`${text}\``;

/** The last item's key; null on an empty page. A page out of order is refused: going on after its last key loses records. */
function lastKey(answer: PageAnswer, field: Field, order: KeyOrder | undefined): Key | null {
  let previous = answer.cursor === null ? null : readStored(answer.cursor);
  for (const [index, item] of answer.items.entries()) {
    const value = readField(item, field);
    const key = parseKey(value);
    if (key === null) {
      const got = typeof value === 'number' ? 'a number that JSON cannot carry exactly' : describe(value);
      throw invalidAnswer(answer, `${place(field)} of item ${index}: expected a whole number or text, got ${got}`);
    }
    const compared = previous === null ? 1 : compareKeys(key, previous, order);
    if (compared === null) {
      throw invalidAnswer(answer, `${place(field)} of item ${index}: expected a whole number, as \`order\` says`);
    }
    if (compared <= 0) throw invalidAnswer(answer, outOfOrder(field, index));
    previous = key;
  }
  return answer.items.length === 0 ? null : previous;
}

const describe = (value: unknown): string => (value === '' ? 'an empty string' : kindOf(value));

const outOfOrder = (field: Field, index: number): string =>
  index === 0
    ? `${place(field)}: the page does not begin after its cursor`
    : `${place(field)}: item ${index} does not come after the one before it; list in ascending order, or see \`order\``;

/** Throws `cursor_expired` on a text that no key was made of. */
function readStored(cursor: string): Key {
  if (cursor.length > MAX_CURSOR_LENGTH) throw notOurs();
  let value: unknown;
  try {
    value = JSON.parse(cursor);
  } catch {
    throw notOurs();
  }
  const key = parseKey(value);
  if (key === null) throw notOurs();
  return key;
}
