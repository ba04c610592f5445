import type { z } from 'zod';
import { mustParsePath } from '../lib/path-schema.ts';
import { reachOf } from '../lib/schema-path.ts';
import type { listSchema } from '../source/definition.ts';
import { checkParam } from './check-param.ts';
import type { Place } from './problems.ts';

type List = z.output<typeof listSchema>;

/** Checks a list's pagination against its other options. `schema` is of its records; null where it is not known. */
export function checkPaging(list: List, schema: z.ZodType | null, place: Place): void {
  const { pagination, pageSize, graphql } = list;
  const paging = place.at('pagination');
  switch (pagination.kind) {
    case 'offset': {
      const size = pageSize?.size ?? null;
      if (size === null) place.at('pageSize').add('is needed beside offset: pages overlap by a part of it');
      else if (size < 2) place.at('pageSize', 'size').add('expected 2 at least: pages of one record cannot overlap');
      else if (pagination.overlap !== undefined && pagination.overlap > size / 2) {
        paging.at('overlap').add('expected at most half of pageSize.size');
      }
      break;
    }
    case 'relay':
      if (graphql === undefined) paging.add('relay is for GraphQL: the list has no `graphql`');
      else checkParam(list, pagination.after ?? 'after', paging.at('after'));
      if (!isInside(list.items, pagination.connection)) {
        place.at('items').add('expected a path in the connection, such as data.customers.nodes');
      }
      break;
    case 'keyset':
      if (schema !== null && reachOf(schema, mustParsePath(pagination.field), 'input') === 'absent') {
        paging.at('field').add(`the schema has nothing at ${pagination.field}`);
      }
      break;
    case 'none':
      if (pageSize !== undefined) {
        place.at('pageSize').add('cannot stand beside none: a list of more records would end at its first page');
      }
      break;
    default:
      break;
  }
  if ('param' in pagination) checkParam(list, pagination.param, paging.at('param'));
  if (pageSize !== undefined) checkParam(list, pageSize.param, place.at('pageSize', 'param'));
}

const isInside = (path: string, outer: string): boolean => {
  const inner = mustParsePath(path);
  return mustParsePath(outer).every((segment, index) => inner[index] === segment);
};
