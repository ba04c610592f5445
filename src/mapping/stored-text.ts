import { Refusal } from './refusal.ts';

/** NUL, and halves of surrogate pairs that stand alone: PostgreSQL's text and jsonb take neither. */
const UNSTORABLE = /[\0\p{Cs}]/u;

export const isStorable = (text: string): boolean => !UNSTORABLE.test(text);

/** The text itself, byte for byte; a `Refusal` when PostgreSQL could not store it. */
export function storableText(text: string): string {
  if (isStorable(text)) return text;
  throw new Refusal('bad_text', 'well-formed text without NUL');
}
