/** What sort of value came, for messages that must not show the value itself. */
export type Kind = 'missing' | 'null' | 'string' | 'number' | 'boolean' | 'array' | 'object' | 'other';

/** The kind of a value out of parsed JSON. `undefined` is a missing key; what JSON cannot carry is `other`. */
export function kindOf(value: unknown): Kind {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  const type = typeof value;
  return type === 'string' || type === 'number' || type === 'boolean' || type === 'object' ? type : 'other';
}
