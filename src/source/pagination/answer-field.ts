import { kindOf } from '../../lib/kind.ts';
import { type Path, readPath } from '../../lib/path.ts';
import { mustParsePath } from '../../lib/path-schema.ts';
import { SourceError } from '../error.ts';
import { MAX_CURSOR_LENGTH, type PageAnswer } from './paginator.ts';

/** A dot path that a definition names, and its text for messages. */
export type Field = { readonly text: string; readonly path: Path };

export const fieldOf = (text: string): Field => ({ text, path: mustParsePath(text) });

export const optionalFieldOf = (text: string | undefined): Field | null => (text === undefined ? null : fieldOf(text));

/** Undefined when there is nothing. */
export function readField(value: unknown, { path }: Field): unknown {
  const found = readPath(value, path);
  return found.found ? found.value : undefined;
}

/** Whether the list goes on, where the answer says so. Anything but a boolean is refused: a guess may end it early. */
export function readHasMore(answer: PageAnswer, field: Field): boolean {
  const value = readField(answer.body, field);
  if (typeof value !== 'boolean') {
    throw invalidAnswer(answer, `\`${field.text}\`: expected a boolean, got ${kindOf(value)}`);
  }
  return value;
}

const WHOLE_NUMBER = /^\d{1,15}$/;

/** A count in the answer, as a number or as digits. */
export function readCount(answer: PageAnswer, field: Field): number {
  const value = readField(answer.body, field);
  const count = typeof value === 'string' && WHOLE_NUMBER.test(value) ? Number(value) : value;
  if (typeof count === 'number' && Number.isSafeInteger(count) && count >= 0) return count;
  const got = typeof value === 'number' || typeof value === 'string' ? 'something else' : kindOf(value);
  throw invalidAnswer(answer, `\`${field.text}\`: expected a whole number, got ${got}`);
}

/** How sources write that there is no next page. */
export const isEnd = (value: unknown): boolean =>
  value === undefined || value === null || value === false || value === '';

/** A cursor of the source as text; null at the end. `place` says where it stood. */
export function readCursor(answer: PageAnswer, value: unknown, place: string): string | null {
  if (isEnd(value)) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  if (typeof value !== 'string') throw invalidAnswer(answer, `${place}: expected a cursor, got ${kindOf(value)}`);
  assertCursor(answer, value, place);
  return value;
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Cursors are kept whole or not at all: a part of one leads somewhere else. */
export function assertCursor(answer: PageAnswer, cursor: string, place: string): void {
  if (cursor.length > MAX_CURSOR_LENGTH)
    throw invalidAnswer(answer, `${place}: expected a cursor, got a string over ${MAX_CURSOR_LENGTH} characters`);
  // A database keeps no NUL, and half a character becomes another one on its way into a URL.
  if (LONE_SURROGATE.test(cursor) || cursor.includes('\0'))
    throw invalidAnswer(answer, `${place}: expected a cursor, got a string that is no well-formed text`);
}

/** Ending a list there would look like a complete one, and what comes after would count as deleted. */
export const moreWithoutCursor = (answer: PageAnswer, place: string): SourceError =>
  invalidAnswer(answer, `${place}: says that there is more, but names no cursor`);

export const invalidAnswer = (answer: PageAnswer, what: string): SourceError =>
  new SourceError('invalid_response', `${answer.endpoint}: ${what}`);
