import type { GetDefinition, ListDefinition } from './definition.ts';
import { resolveOwnLink } from './own-origin.ts';
import type { PageTarget } from './pagination/paginator.ts';
import { fillPath, type PathTemplate, parsePathTemplate } from './path-template.ts';
import type { ResolvedSource } from './resolve.ts';

type Query = Readonly<Record<string, string | number | boolean>>;

/** Makes the URLs of one source; every one is on its origin. */
export function createUrls(source: ResolvedSource) {
  const base = source.baseUrl();
  const basePath = base.pathname === '/' ? '' : base.pathname;
  const params = source.params();

  const build = (template: PathTemplate, values: Readonly<Record<string, string>>, queries: readonly Query[]): URL => {
    const url = new URL(`${basePath}${fillPath(template, values)}`, base.origin);
    for (const query of queries) {
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
    }
    return url;
  };

  return {
    /** `query` wins over the list's own, the page's over both. A link carries everything itself. */
    forPage(list: ListDefinition, target: PageTarget, query: Query): URL {
      if (target.kind === 'link')
        return resolveOwnLink(target.link, new URL(base.origin), `GET ${list.path}: the cursor`);
      const pageSize = list.pageSize === undefined ? {} : { [list.pageSize.param]: list.pageSize.size };
      return build(mustParseTemplate(list.path), params, [list.query ?? {}, pageSize, query, target.query]);
    },
    /** Throws `bad_id` when the id cannot stand in a path. */
    forRecord: (get: GetDefinition, id: string): URL =>
      build(mustParseTemplate(get.path), { ...params, id }, [get.query ?? {}]),
  };
}

export type Urls = ReturnType<typeof createUrls>;

function mustParseTemplate(text: string): PathTemplate {
  const template = parsePathTemplate(text);
  if (template === null) throw new TypeError('Not a path template: definitions are checked before they are used');
  return template;
}
