import type { ChangeToken } from '../model/change-token.ts';
import type { Content, Observation } from '../model/observation.ts';

type HashOf = (content: Content) => string;

/** Hash of each property's value by itself. */
export function fieldHashesOf(content: Content, hashOf: HashOf): Readonly<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [property, value] of Object.entries(content)) hashes[property] = hashOf({ [property]: value });
  return hashes;
}

/** Every property that was pushed is seen with the value that was sent. */
export function showsPushed(
  content: Content,
  { fieldHashes }: Pick<ChangeToken, 'fieldHashes'>,
  hashOf: HashOf,
): boolean {
  return Object.entries(fieldHashes).every(([property, hash]) => {
    const value = content[property];
    return value !== undefined && hashOf({ [property]: value }) === hash;
  });
}

/**
 * Whether a sighting may be the reflection of this write. By marker it is for sure; by version, tag, hash or the pushed
 * values it looks like it, since somebody else may have written the same.
 */
export function matchesToken(
  seen: Pick<Observation, 'content' | 'hash' | 'version' | 'etag'> & { readonly marker?: string | null },
  token: ChangeToken,
  hashOf: HashOf,
): boolean {
  if (seen.marker === token.id) return true;
  if (token.state === 'rejected') return false;
  if (token.resultVersion !== null && seen.version === token.resultVersion) return true;
  if (token.resultEtag !== null && seen.etag === token.resultEtag) return true;
  const isPushed = Object.keys(token.fieldHashes).length > 0;
  if (seen.content === null) return token.state === 'pending' && !isPushed;
  if (token.resultHash !== null && seen.hash === token.resultHash) return true;
  return token.state === 'pending' && isPushed && showsPushed(seen.content, token, hashOf);
}
