import { notOurs, type Paginator } from './paginator.ts';

/** A path with its query, bound to the source; two slashes would name another host. */
const OWN_LINK = /^\/(?![/\\])/;

/**
 * Asking by links that the source makes. A link carries its query whole, the size of pages within, and mostly a page
 * number that counts in that size; so the size can change before the first link only.
 */
export const linkTargets: Pick<Paginator, 'target' | 'resize'> = {
  target: (cursor) => {
    if (cursor === null) return { kind: 'params', params: {} };
    if (!OWN_LINK.test(cursor)) throw notOurs();
    return { kind: 'link', link: cursor };
  },
  resize: (cursor, _from, to) =>
    cursor === null
      ? { kind: 'resized', cursor, pageSize: to, needsExactPages: false }
      : { kind: 'refused', why: 'the next link carries the size of pages' },
};
