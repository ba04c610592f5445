import type { IncomingHttpHeaders } from 'node:http';
import { SourceError } from '../error.ts';

/**
 * Which page to ask for: parameters of the list (they go to its query, or into its body, as the list says), or what
 * `cursorFromLink` made of a link.
 */
export type PageTarget =
  | { readonly kind: 'params'; readonly params: Readonly<Record<string, string | number>> }
  | { readonly kind: 'link'; readonly link: string };

/** One answered page, as a paginator sees it. */
export type PageAnswer = {
  /** Method and path template, for messages. */
  readonly endpoint: string;
  /** What `target` was called with for this page. */
  readonly cursor: string | null;
  /** Records asked for; null where the list does not say. */
  readonly pageSize: number | null;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  readonly items: readonly unknown[];
  /**
   * Makes a cursor out of a link in this answer: resolved against where the answer came from, without credentials,
   * bound to the source. Throws `foreign_link` when it leaves the source's origin, `invalid_response` when it is no URL.
   */
  readonly cursorFromLink: (link: string) => string;
};

/** How a listing goes on at the same record with pages of another size. */
export type Resized =
  | {
      readonly kind: 'resized';
      readonly cursor: string | null;
      /** At most what was asked for. */
      readonly pageSize: number;
      /** The cursor leads to the same record only if the source gives pages of exactly `pageSize` records. */
      readonly needsExactPages: boolean;
    }
  | { readonly kind: 'refused'; readonly why: string };

/**
 * One way to page. It holds no state: a cursor is all that is needed to ask for a page, so that a run can resume from
 * a stored one. Cursors are texts of ours; what they hold is the paginator's business.
 */
export type Paginator = {
  /**
   * A stored cursor still leads to the same place after hours, whatever was inserted or deleted since. Where it does
   * not (positions in a list), an interrupted listing starts again.
   */
  readonly isResumable: boolean;
  /** Where to ask for the page at `cursor`, or for the first one. Throws `cursor_expired` on a cursor it never made. */
  target(cursor: string | null, pageSize: number | null): PageTarget;
  /** Cursor of the page after this one; null at the end. Throws `invalid_response` or `foreign_link`. */
  next(answer: PageAnswer): string | null;
  /** The place of `cursor`, where pages had `from` records, for pages of at most `to`. */
  resize(cursor: string | null, from: number, to: number): Resized;
};

/** A longer one would not fit into a URL that servers take. */
export const MAX_CURSOR_LENGTH = 4_096;

/** For cursors that name a record or a place of the source's own: the size of pages says nothing about them. */
export const resizeFreely: Paginator['resize'] = (cursor, _from, to) => ({
  kind: 'resized',
  cursor,
  pageSize: to,
  needsExactPages: false,
});

/** A stored cursor that this kind of pagination never makes: the definition was changed since, perhaps. */
export const notOurs = (): SourceError =>
  new SourceError('cursor_expired', 'The stored cursor is none of this pagination: the listing starts again');
