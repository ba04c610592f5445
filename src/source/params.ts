import { mustParsePath } from '../lib/path-schema.ts';
import { type JsonValue, withValueAt } from '../model/json.ts';
import type { GetDefinition } from './definition.ts';

/**
 * The JSON body of a request with its parameters put in: GraphQL variables by their name, else the body's own content with
 * each parameter at its dot path, where objects that are missing are made.
 */
export function placeParams(
  { graphql, body }: Pick<GetDefinition, 'graphql' | 'body'>,
  params: Readonly<Record<string, JsonValue>>,
): JsonValue {
  if (graphql !== undefined) return { query: graphql.query, variables: { ...graphql.variables, ...params } };
  let placed: JsonValue = body ?? {};
  for (const [name, value] of Object.entries(params)) placed = withValueAt(placed, mustParsePath(name), value);
  return placed;
}
