import { SourceError } from './error.ts';

/** Longer URLs are refused by most servers; a link is kept as a cursor, too. */
const MAX_LINK_LENGTH = 8_192;

/**
 * Where a link of the source leads, resolved against the URL of the answer that held it. Throws `foreign_link` when
 * scheme, host or port differ from the source's, since our credentials go with every request; `invalid_response` when
 * it is no URL. The message never shows the link: it may carry a token.
 */
export function resolveOwnLink(link: string, from: URL, what: string): URL {
  if (link.length > MAX_LINK_LENGTH) {
    throw new SourceError('invalid_response', `${what} is over ${MAX_LINK_LENGTH} characters`);
  }
  const url = URL.canParse(link, from.href) ? new URL(link, from.href) : null;
  if (url === null) throw new SourceError('invalid_response', `${what} is not a URL`);
  // `blob:https://…` has the origin that is in it.
  if (url.origin !== from.origin || url.protocol !== from.protocol) {
    throw new SourceError('foreign_link', `${what} leads to ${foreignPart(url, from)}; it was not followed`);
  }
  url.hash = '';
  return url;
}

/** The link as a text to keep: bound to its origin, whatever it is resolved against. */
export function linkCursor({ pathname, search }: URL): string {
  // Two slashes at the beginning would name a host.
  return `${pathname.startsWith('//') ? '/.' : ''}${pathname}${search}`;
}

function foreignPart(url: URL, own: URL): string {
  if (url.protocol !== own.protocol) return 'another scheme than the base URL has';
  if (url.hostname !== own.hostname) return 'another host than the base URL has';
  return 'another port than the base URL has';
}
