/** How a source orders the keys of a list: by value, or as text by code units. */
export type KeyOrder = 'number' | 'text';

export type Key = string | number;

const INTEGER = /^-?(?:0|[1-9]\d*)$/;

/** Null for what cannot be a key: nothing, an empty text, or a number that JSON may have rounded. */
export function parseKey(value: unknown): Key | null {
  if (typeof value === 'string') return value === '' ? null : value;
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : null;
}

/**
 * Below zero, zero or above, as `left` comes before, with or after `right`. Without `order`, two whole numbers (digits of
 * any length in a string included) are compared as numbers, anything else as text. Null where `order` is `number` and one
 * of them is none.
 */
export function compareKeys(left: Key, right: Key, order?: KeyOrder): number | null {
  const numbers = order === 'text' ? null : numbersOf(left, right);
  if (numbers !== null) return compare(numbers[0], numbers[1]);
  return order === 'number' ? null : compare(String(left), String(right));
}

function numbersOf(left: Key, right: Key): readonly [bigint, bigint] | null {
  return INTEGER.test(String(left)) && INTEGER.test(String(right)) ? [BigInt(left), BigInt(right)] : null;
}

const compare = <T extends string | bigint>(left: T, right: T): number => (left < right ? -1 : left > right ? 1 : 0);
