import { z } from 'zod';
import { assertNever } from '../../lib/assert-never.ts';
import { type CursorDefinition, createCursor, cursorSchema } from './cursor.ts';
import { createKeyset, type KeysetDefinition, keysetSchema } from './keyset.ts';
import { createLinkHeader, type LinkHeaderDefinition, linkHeaderSchema } from './link-header.ts';
import { createNextUrl, type NextUrlDefinition, nextUrlSchema } from './next-url.ts';
import { createNone, type NoneDefinition, noneSchema } from './none.ts';
import { createOffset, type OffsetDefinition, offsetSchema } from './offset.ts';
import { createPageNumber, type PageNumberDefinition, pageNumberSchema } from './page-number.ts';
import type { Paginator } from './paginator.ts';
import { createRelay, type RelayDefinition, relaySchema } from './relay.ts';

/** How a list goes on. Each kind is a file of this folder. */
export type PaginationDefinition =
  | CursorDefinition
  | KeysetDefinition
  | LinkHeaderDefinition
  | NextUrlDefinition
  | NoneDefinition
  | OffsetDefinition
  | PageNumberDefinition
  | RelayDefinition;

export const paginationSchema = z.discriminatedUnion('kind', [
  cursorSchema,
  keysetSchema,
  linkHeaderSchema,
  nextUrlSchema,
  noneSchema,
  offsetSchema,
  pageNumberSchema,
  relaySchema,
]);

export function createPaginator(definition: PaginationDefinition): Paginator {
  switch (definition.kind) {
    case 'cursor':
      return createCursor(definition);
    case 'keyset':
      return createKeyset(definition);
    case 'link_header':
      return createLinkHeader(definition.rel ?? 'next');
    case 'next_url':
      return createNextUrl(definition);
    case 'none':
      return createNone();
    case 'offset':
      return createOffset(definition);
    case 'page_number':
      return createPageNumber(definition);
    case 'relay':
      return createRelay(definition);
    default:
      return assertNever(definition);
  }
}

/** Whether an interrupted listing goes on at its stored cursor; see `Paginator.isResumable`. */
export const isResumable = (definition: PaginationDefinition): boolean => createPaginator(definition).isResumable;
