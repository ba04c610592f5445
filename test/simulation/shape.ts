import type { JsonValue } from '../../src/model/json.ts';
import type { Content } from '../../src/model/observation.ts';

/**
 * A record's fields, at the source and in the table. `a` takes few values, so that equal contents and A→B→A are common; each
 * value of `b` is written once, so that a lost edit is noticed; `n` is a number; `d` is derived by the source from `a`;
 * `ref` names the row that a record was created from.
 */
export const WRITABLE = ['a', 'b', 'n'] as const;
export const PROPERTIES = ['id', 'a', 'b', 'd', 'n', 'ref'] as const;

/** What an edited definition can change of a mapping: whether `b` is mapped, and whether it is shown in brackets. */
export type Mapping = {
  readonly revision: 1 | 2;
  readonly properties: readonly string[];
  readonly bracketsB: boolean;
};
export const PLAIN: Mapping = { revision: 1, properties: PROPERTIES, bracketsB: false };
export const WITHOUT_B: Mapping = { ...PLAIN, properties: PROPERTIES.filter((name) => name !== 'b') };
export const WITH_B: Mapping = { ...PLAIN, revision: 2 };
export const BRACKETED: Mapping = { ...WITH_B, bracketsB: true };

export const isWritable = (name: string): name is Field => WRITABLE.some((field) => field === name);
export type Field = (typeof WRITABLE)[number];

export const keyOf = (content: Content): string => String(content.id);

const textOf = (value: JsonValue | undefined): string =>
  value === undefined ? '' : value === null ? '0' : `${typeof value === 'string' ? 's' : 'n'}${value}`;

/** As good as a digest, since it names every value. */
export const hashOf = ({ id, a, b, d, n, ref }: Content): string =>
  `${textOf(id)}|${textOf(a)}|${textOf(b)}|${textOf(d)}|${textOf(n)}|${textOf(ref)}`;

export const isSameContent = (left: Content, right: Content): boolean =>
  left.id === right.id &&
  left.a === right.a &&
  left.b === right.b &&
  left.d === right.d &&
  left.n === right.n &&
  left.ref === right.ref;
