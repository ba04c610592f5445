import { z } from 'zod';
import { pathSchema } from '../../lib/path-schema.ts';
import { optionalFieldOf, readCount, readHasMore } from './answer-field.ts';
import { notOurs, type PageAnswer, type Paginator } from './paginator.ts';

export const pageNumberSchema = z
  .strictObject({
    kind: z.literal('page_number'),
    param: z.string().min(1),
    first: z.union([z.literal(0), z.literal(1)]).optional(),
    totalPages: pathSchema.optional(),
    hasMore: pathSchema.optional(),
  })
  .refine((page) => page.totalPages === undefined || page.hasMore === undefined, {
    message: 'cannot stand beside `totalPages`: only one can say where the list ends',
    path: ['hasMore'],
  });

type PageNumberOptions = {
  /** Parameter that takes the page's number. */
  readonly param: string;
  /** Number of the first page. Default 1. */
  readonly first?: 0 | 1;
  /** Dot path in the answer to the number of pages. */
  readonly totalPages?: string;
  /** Dot path to a boolean. Without it and `totalPages` the list ends at an empty page. */
  readonly hasMore?: string;
};
export type PageNumberDefinition = PageNumberOptions & { readonly kind: 'page_number' };

/**
 * Pages are asked for by their number. What is deleted meanwhile moves records to pages that were read: such a listing
 * may miss some, and the next full run finds them. Prefer a cursor where the source has one.
 */
export const pageNumber = (options: PageNumberOptions): PageNumberDefinition => ({ kind: 'page_number', ...options });

/** `isExact`: each page before it had as many records as were asked for, so that its number tells its position. */
type At = { readonly page: number; readonly size: number | null; readonly isExact: boolean };

export function createPageNumber(definition: PageNumberOptions): Paginator {
  const { param, first = 1 } = definition;
  const totalPages = optionalFieldOf(definition.totalPages);
  const hasMore = optionalFieldOf(definition.hasMore);

  const read = (cursor: string | null, size: number | null): At => {
    if (cursor === null) return { page: first, size, isExact: size !== null };
    const at = parseAt(cursor);
    // A page's number means another place where pages have another size.
    if (at === null || at.size !== size || at.page <= first) throw notOurs();
    return at;
  };
  const goesOn = (answer: PageAnswer, page: number): boolean => {
    if (hasMore !== null) return readHasMore(answer, hasMore);
    if (totalPages === null) return answer.items.length > 0;
    const end = first + readCount(answer, totalPages);
    // Records on a page that should not be there: the number of pages is wrong.
    return page + 1 < end || (page >= end && answer.items.length > 0);
  };
  return {
    isResumable: false,
    target: (cursor, pageSize) => ({ kind: 'params', params: { [param]: read(cursor, pageSize).page } }),
    next: (answer) => {
      const { page, size, isExact } = read(answer.cursor, answer.pageSize);
      if (!goesOn(answer, page)) return null;
      return formatAt({ page: page + 1, size, isExact: isExact && answer.items.length === size });
    },
    resize: (cursor, from, to) => {
      if (cursor === null) return { kind: 'resized', cursor, pageSize: to, needsExactPages: false };
      const { page, isExact } = read(cursor, from);
      if (!isExact) return { kind: 'refused', why: 'earlier pages did not have the size that was asked for' };
      if (to > from) return { kind: 'refused', why: 'page numbers count in the smaller size' };
      const size = largestDivisor(from, to);
      const at = { page: first + (page - first) * (from / size), size, isExact };
      return { kind: 'resized', cursor: formatAt(at), pageSize: size, needsExactPages: true };
    },
  };
}

/** Only a divisor begins a page at the same record. */
function largestDivisor(of: number, atMost: number): number {
  for (let size = atMost; size > 1; size--) if (of % size === 0) return size;
  return 1;
}

/** `3` without a size, `3/100` for a page at a certain position, `3/100~` for one at an uncertain one. */
const AT = /^(\d{1,12})(?:\/(\d{1,6})(~?))?$/;

const formatAt = ({ page, size, isExact }: At): string =>
  size === null ? String(page) : `${page}/${size}${isExact ? '' : '~'}`;

function parseAt(cursor: string): At | null {
  const match = AT.exec(cursor);
  if (match === null) return null;
  const [, page, size, mark] = match;
  return size === undefined
    ? { page: Number(page), size: null, isExact: false }
    : { page: Number(page), size: Number(size), isExact: mark === '' };
}
