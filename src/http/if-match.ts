import type { IfMatch } from '../sync/edit-place.ts';
import { ProblemError } from './problem.ts';

const MAX_TAGS = 20;
/** A strong tag; what `W/` marks as weak never matches, and is left out. */
const LIST = /^\s*(?:(?:W\/)?"[\x21\x23-\x7e]*"\s*(?:,\s*|$))+$/;
const TAG = /(W\/)?("[\x21\x23-\x7e]*")/g;

/** What `If-Match` asks for; null where it is not there. Throws the problem to answer with. */
export function readIfMatch(header: string | undefined): IfMatch | null {
  if (header === undefined) return null;
  if (header.trim() === '*') return 'any';
  const tags = LIST.test(header) ? [...header.matchAll(TAG)] : [];
  if (tags.length === 0 || tags.length > MAX_TAGS) {
    throw new ProblemError({
      status: 400,
      code: 'bad-request',
      title: 'The request cannot be read',
      detail: `If-Match: expected * or up to ${MAX_TAGS} entity tags in quotes, as the header etag of an answer gives them`,
    });
  }
  return tags.flatMap(([, weak, tag]) => (weak === undefined && tag !== undefined ? [tag] : []));
}
