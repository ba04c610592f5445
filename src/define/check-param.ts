import { kindOf } from '../lib/kind.ts';
import { PATH_SYNTAX, parsePath } from '../lib/path.ts';
import type { Place } from './problems.ts';

type Form = {
  readonly graphql?: { readonly query: string } | undefined;
  readonly body?: unknown;
  readonly paramsIn?: 'query' | 'body' | undefined;
};

/**
 * Checks that a parameter of a request arrives: as a variable that the query declares, or at a place that the body can
 * have. Servers pass over variables that a query does not declare, and would answer another question without a word.
 */
export function checkParam({ graphql, body, paramsIn }: Form, name: string, place: Place): void {
  if (graphql !== undefined) {
    if (!declaredIn(graphql.query).has(name)) place.add(`the query has no variable $${name}`);
    return;
  }
  if (paramsIn !== 'body') return;
  const path = parsePath(name);
  const problem = path === null ? `expected ${PATH_SYNTAX}` : problemOf(body ?? {}, path);
  if (problem !== null) place.add(problem);
}

/** Strings and comments of GraphQL, in which there may be anything. */
const SILENT = /"""(?:\\"""|[\s\S])*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*/g;
const DECLARED = /\$(\w+)\s*:/g;

const declaredIn = (query: string): ReadonlySet<string> =>
  new Set([...query.replaceAll(SILENT, ' ').matchAll(DECLARED)].map(([, variable = '']) => variable));

const INDEX = /^(?:0|[1-9]\d*)$/;

/** Why a value cannot be put there; null when it can. */
function problemOf(body: unknown, path: readonly string[]): string | null {
  let inside = body;
  for (const segment of path) {
    if (Array.isArray(inside)) {
      const isThere = INDEX.test(segment) && Number(segment) <= inside.length;
      if (!isThere) return `leads into an array of the body, where there is no place ${segment}`;
      inside = inside[Number(segment)];
    } else if (typeof inside === 'object' && inside !== null) {
      inside = Object.hasOwn(inside, segment) ? Reflect.get(inside, segment) : undefined;
    } else {
      return `leads into a ${kindOf(inside)} of the body`;
    }
    if (inside === undefined) return null;
  }
  return null;
}
