import { mustParsePath } from '../lib/path-schema.ts';
import type { JsonValue } from '../model/json.ts';
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

function withValueAt(inside: JsonValue | undefined, path: readonly string[], value: JsonValue): JsonValue {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(inside)) {
    const list: JsonValue[] = [...inside];
    list[Number(key)] = withValueAt(list[Number(key)], rest, value);
    return list;
  }
  const object = isObject(inside) ? inside : {};
  return { ...object, [key]: withValueAt(object[key], rest, value) };
}

const isObject = (value: JsonValue | undefined): value is { readonly [key: string]: JsonValue } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
