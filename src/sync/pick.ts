import type { Content } from '../model/observation.ts';

/** What the content holds of these properties, in its own order. */
export function pick(content: Content, properties: Iterable<string>): Content {
  const names = new Set(properties);
  return Object.fromEntries(Object.entries(content).filter(([property]) => names.has(property)));
}
