import { z } from 'zod';
import { kindOf } from '../../lib/kind.ts';
import { pathSchema } from '../../lib/path-schema.ts';
import {
  fieldOf,
  invalidAnswer,
  isEnd,
  moreWithoutCursor,
  optionalFieldOf,
  readField,
  readHasMore,
} from './answer-field.ts';
import { linkTargets } from './link.ts';
import type { Paginator } from './paginator.ts';

export const nextUrlSchema = z.strictObject({
  kind: z.literal('next_url'),
  next: pathSchema,
  hasMore: pathSchema.optional(),
  resumable: z.boolean().optional(),
});

type NextUrlOptions = {
  /** Dot path in the answer to the next page's URL, absolute or relative. Missing, null, false or empty at the end. */
  readonly next: string;
  /** Dot path to a boolean, where the answer has one. It decides then. */
  readonly hasMore?: string;
  /** The URL holds a token, not a position, and leads to the same place for hours. Default false. */
  readonly resumable?: boolean;
};
export type NextUrlDefinition = NextUrlOptions & { readonly kind: 'next_url' };

/** Each page names the next one's URL in its body. Only URLs of the source's own origin are followed. */
export const nextUrl = (options: NextUrlOptions): NextUrlDefinition => ({ kind: 'next_url', ...options });

export function createNextUrl(definition: NextUrlOptions): Paginator {
  const field = fieldOf(definition.next);
  const hasMore = optionalFieldOf(definition.hasMore);
  const place = `\`${field.text}\``;
  return {
    isResumable: definition.resumable ?? false,
    ...linkTargets,
    next: (answer) => {
      const goesOn = hasMore === null ? null : readHasMore(answer, hasMore);
      if (goesOn === false) return null;
      const link = readField(answer.body, field);
      if (typeof link === 'string' && link !== '') return answer.cursorFromLink(link);
      if (!isEnd(link)) throw invalidAnswer(answer, `${place}: expected a URL, got ${kindOf(link)}`);
      if (goesOn) throw moreWithoutCursor(answer, place);
      return null;
    },
  };
}
