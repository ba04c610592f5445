import { z } from 'zod';
import { assertNever } from '../../lib/assert-never.ts';
import { type CursorDefinition, createCursor, cursorSchema } from './cursor.ts';
import { createLinkHeader, type LinkHeaderDefinition, linkHeaderSchema } from './link-header.ts';
import { createNone, type NoneDefinition, noneSchema } from './none.ts';
import type { Paginator } from './paginator.ts';

/** How a list goes on. Each kind is a file of this folder. */
export type PaginationDefinition = CursorDefinition | LinkHeaderDefinition | NoneDefinition;

export const paginationSchema = z.discriminatedUnion('kind', [cursorSchema, linkHeaderSchema, noneSchema]);

export function createPaginator(definition: PaginationDefinition): Paginator {
  switch (definition.kind) {
    case 'cursor':
      return createCursor(definition);
    case 'link_header':
      return createLinkHeader(definition.rel ?? 'next');
    case 'none':
      return createNone();
    default:
      return assertNever(definition);
  }
}

/** Whether an interrupted listing goes on at its stored cursor; see `Paginator.isResumable`. */
export const isResumable = (definition: PaginationDefinition): boolean => createPaginator(definition).isResumable;
