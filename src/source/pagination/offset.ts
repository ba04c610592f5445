import { z } from 'zod';
import { pathSchema } from '../../lib/path-schema.ts';
import { optionalFieldOf, readCount } from './answer-field.ts';
import { notOurs, type Paginator } from './paginator.ts';

/** Part of a page that the next one reads again. */
const DEFAULT_OVERLAP = 0.1;

export const offsetSchema = z.strictObject({
  kind: z.literal('offset'),
  param: z.string().min(1),
  overlap: z
    .number()
    .positive()
    .refine((overlap) => overlap <= 0.5 || Number.isSafeInteger(overlap), {
      message: 'expected a share of a page up to 0.5, or a whole number of records',
    })
    .optional(),
  total: pathSchema.optional(),
});

type OffsetOptions = {
  /** Parameter that takes the number of records to pass over. */
  readonly param: string;
  /**
   * What each page reads again of the one before: a share of it up to 0.5, or a number of records; at least one record,
   * at most half a page. Up to so many records may be deleted between two pages and nothing is missed. Default 0.1.
   */
  readonly overlap?: number;
  /** Dot path in the answer to the exact number of records in the list; it spares the last request. */
  readonly total?: string;
};
export type OffsetDefinition = OffsetOptions & { readonly kind: 'offset' };

/** Pages are asked for by how many records to pass over. List oldest first, so that what is new comes at the end. */
export const offset = (options: OffsetOptions): OffsetDefinition => ({ kind: 'offset', ...options });

/** `start`: position of the page's first record. `seen`: how many of its records the page before had at least. */
type At = { readonly start: number; readonly seen: number };

export function createOffset({ param, overlap = DEFAULT_OVERLAP, total: totalText }: OffsetOptions): Paginator {
  const total = optionalFieldOf(totalText);
  return {
    isResumable: false,
    target: (cursor) => ({ kind: 'params', params: { [param]: parseAt(cursor).start } }),
    next: (answer) => {
      const { start, seen } = parseAt(answer.cursor);
      const count = answer.items.length;
      const end = start + count;
      // Servers cap the size of pages, so a short page says nothing by itself.
      if (count === 0) return null;
      // Pages that shrank can lie wholly within the overlap; such a page is full.
      const isFull = answer.pageSize !== null && count >= answer.pageSize;
      // A total that is passed is none, and that of a full first page may be the page's own: the overlap tells the end.
      if (total !== null && readCount(answer, total) === end && (start > 0 || !isFull)) return null;
      if (count <= seen && !isFull) return null;
      const known = overlapOf(count, overlap);
      return formatAt({ start: end - known, seen: known });
    },
    resize: (cursor, _from, to) =>
      to < 2
        ? { kind: 'refused', why: 'pages of one record cannot overlap' }
        : { kind: 'resized', cursor, pageSize: to, needsExactPages: false },
  };
}

/** In records, of a page that gave `count`. Half a page at most: each page must lead on. */
const overlapOf = (count: number, overlap: number): number =>
  Math.min(Math.floor(count / 2), overlap < 1 ? Math.ceil(count * overlap) : overlap);

/** `190+10`: from position 190 on, of which 10 records are known. */
const AT = /^(\d{1,15})\+(\d{1,15})$/;

const formatAt = ({ start, seen }: At): string => `${start}+${seen}`;

function parseAt(cursor: string | null): At {
  if (cursor === null) return { start: 0, seen: 0 };
  const match = AT.exec(cursor);
  if (match === null) throw notOurs();
  return { start: Number(match[1]), seen: Number(match[2]) };
}
