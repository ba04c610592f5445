import { z } from 'zod';
import { kindOf } from '../../lib/kind.ts';
import { pathSchema } from '../../lib/path-schema.ts';
import { assertCursor, fieldOf, invalidAnswer, moreWithoutCursor, readField, readHasMore } from './answer-field.ts';
import { MAX_CURSOR_LENGTH, notOurs, type Paginator, resizeFreely } from './paginator.ts';

export const relaySchema = z.strictObject({
  kind: z.literal('relay'),
  connection: pathSchema.refine((path) => path !== '', { message: 'expected a path, such as data.customers' }),
  after: z.string().min(1).optional(),
});

type RelayOptions = {
  /** Dot path in the answer to the connection, which holds `pageInfo { hasNextPage endCursor }`: `data.customers`. */
  readonly connection: string;
  /** Variable of the query that takes the cursor. Default `after`. */
  readonly after?: string;
};
export type RelayDefinition = RelayOptions & { readonly kind: 'relay' };

/** A GraphQL connection: `pageInfo` says whether there is more and after which cursor. */
export const relay = (options: RelayOptions): RelayDefinition => ({ kind: 'relay', ...options });

export function createRelay({ connection, after = 'after' }: RelayOptions): Paginator {
  const hasNextPage = fieldOf(`${connection}.pageInfo.hasNextPage`);
  const endCursor = fieldOf(`${connection}.pageInfo.endCursor`);
  const place = `\`${endCursor.text}\``;
  return {
    isResumable: true,
    target: (cursor) => {
      if (cursor === '' || (cursor !== null && cursor.length > MAX_CURSOR_LENGTH)) throw notOurs();
      return { kind: 'params', params: cursor === null ? {} : { [after]: cursor } };
    },
    next: (answer) => {
      if (!readHasMore(answer, hasNextPage)) return null;
      const cursor = readField(answer.body, endCursor);
      if (cursor === undefined || cursor === null || cursor === '') throw moreWithoutCursor(answer, place);
      if (typeof cursor !== 'string') throw invalidAnswer(answer, `${place}: expected a string, got ${kindOf(cursor)}`);
      assertCursor(answer, cursor, place);
      return cursor;
    },
    resize: resizeFreely,
  };
}
