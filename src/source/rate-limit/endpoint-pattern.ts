/** How requests are named in `match` and `weights`. */
export const ENDPOINT_PATTERN_SYNTAX =
  'a method or *, a space and a path whose segments may be *, such as POST /items or * /search/*';

const SYNTAX = /^(\*|GET|POST|PUT|PATCH|DELETE) (\/[^\s?#]*)$/;

export const isEndpointPattern = (text: string): boolean => SYNTAX.test(text);

/**
 * Says of endpoints (`GET /customers/{id}`, as the definition writes the path) whether a pattern means them. `*` stands
 * for one segment, at the end for one or more.
 */
export function prepareEndpointPattern(pattern: string): (endpoint: string) => boolean {
  const [method = '', path = ''] = pattern.split(' ');
  const wanted = path.split('/');
  const isOpen = wanted.at(-1) === '*';
  return (endpoint) => {
    const [ownMethod = '', ownPath = ''] = endpoint.split(' ');
    if (method !== '*' && method !== ownMethod) return false;
    const own = ownPath.split('/');
    if (isOpen ? own.length < wanted.length : own.length !== wanted.length) return false;
    return wanted.every((segment, at) => segment === '*' || segment === own[at]);
  };
}
