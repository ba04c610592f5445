import { prepareLocator, type TextReader, type TextSource } from './locator.ts';
import type { CheckedScheme } from './scheme.ts';

export const MAX_EVENT_TYPE_LENGTH = 256;
/** Blanks occur within (GitLab's `Push Hook`); control characters and what is not ASCII make no type. */
const EVENT_TYPE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** The type of every event where a definition says nothing of types: only the route `*` takes them. */
export const ANY_TYPE = '*';

/**
 * Prepares the reading of an event's type: the parts joined by dots, such as `issues.opened`. Null without the first part,
 * or when the whole is too long or not printable; a later part that is absent is left out.
 */
export function prepareEventType(parts: CheckedScheme['eventType']): TextReader {
  if (parts.length === 0) return () => ANY_TYPE;
  const readers = parts.map(prepareLocator);
  return (source: TextSource) => {
    let type = '';
    for (const [index, read] of readers.entries()) {
      const part = read(source);
      if (part === null || part === '') {
        if (index === 0) return null;
        continue;
      }
      type = index === 0 ? part : `${type}.${part}`;
      if (type.length > MAX_EVENT_TYPE_LENGTH) return null;
    }
    return EVENT_TYPE.test(type) ? type : null;
  };
}
