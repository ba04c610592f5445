import { z } from 'zod';
import { SourceError } from '../error.ts';
import type { Paginator } from './paginator.ts';

export const noneSchema = z.strictObject({ kind: z.literal('none') });
export type NoneDefinition = { readonly kind: 'none' };

/** The whole list comes in one answer. */
export const none = (): NoneDefinition => ({ kind: 'none' });

export const createNone = (): Paginator => ({
  isResumable: false,
  target: (cursor) => {
    if (cursor !== null)
      throw new SourceError('cursor_expired', 'This list has a single page, so a cursor leads nowhere');
    return { kind: 'params', params: {} };
  },
  next: () => null,
  resize: () => ({ kind: 'refused', why: 'the list has a single page, and a smaller one would leave records out' }),
});
