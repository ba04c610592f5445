import type { IncomingHttpHeaders } from 'node:http';
import LinkHeader from 'http-link-header';
import { z } from 'zod';
import { SourceError } from '../error.ts';
import { linkTargets } from './link.ts';
import type { Paginator } from './paginator.ts';

export const linkHeaderSchema = z.strictObject({ kind: z.literal('link_header'), rel: z.string().min(1).optional() });
export type LinkHeaderDefinition = { readonly kind: 'link_header'; readonly rel?: string };

/** The next page's URL is in the `Link` header (RFC 8288), under `rel`, normally `next`. GitHub pages like this. */
export const linkHeader = (options: { readonly rel?: string } = {}): LinkHeaderDefinition => ({
  kind: 'link_header',
  ...options,
});

export const createLinkHeader = (rel: string): Paginator => ({
  // Most links carry a page number.
  isResumable: false,
  ...linkTargets,
  next: ({ endpoint, headers, cursorFromLink }) => {
    const link = readLink(headers, rel, endpoint);
    return link === null ? null : cursorFromLink(link);
  },
});

/** Not those of the standard: the parser takes them for a part of the relation, which then is never found. */
const ODD_QUOTES = /^'/;

function readLink(headers: IncomingHttpHeaders, rel: string, endpoint: string): string | null {
  const header: string | string[] | undefined = headers.link;
  const text = Array.isArray(header) ? header.join(', ') : header;
  if (text === undefined || text.trim() === '') return null;
  try {
    const links = LinkHeader.parse(text);
    if (links.refs.some((link) => ODD_QUOTES.test(link.rel))) throw new SyntaxError('a relation in quotes of its own');
    return links.rel(rel)[0]?.uri ?? null;
  } catch {
    // Ending the list here would look like a complete one, and what comes after would count as deleted.
    throw new SourceError('invalid_response', `${endpoint}: the Link header cannot be read`);
  }
}
