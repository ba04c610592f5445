import { test } from 'tap';
import { z } from 'zod';
import { checkPaging } from '../../src/define/check-paging.ts';
import { type ConfigProblem, createPlace } from '../../src/define/problems.ts';
import { type ListDefinition, listSchema } from '../../src/source/definition.ts';
import { cursor } from '../../src/source/pagination/cursor.ts';
import { keyset } from '../../src/source/pagination/keyset.ts';
import { none } from '../../src/source/pagination/none.ts';
import { offset } from '../../src/source/pagination/offset.ts';
import { pageNumber } from '../../src/source/pagination/page-number.ts';
import { relay } from '../../src/source/pagination/relay.ts';

const schema = z.object({ id: z.int(), owner: z.object({ id: z.int() }) });
const query = 'query ($after: String, $first: Int) { customers(after: $after, first: $first) { nodes { id } } }';
const connection = relay({ connection: 'data.customers' });

const problemsOf = (change: Partial<ListDefinition>, known: z.ZodType | null = schema) => {
  const problems: ConfigProblem[] = [];
  const list = listSchema.parse({ path: '/customers', items: 'data', pagination: none(), ...change });
  checkPaging(list, known, createPlace(problems, 'list'));
  return problems.map(({ path, problem }) => `${path}: ${problem}`);
};

test('pagination that fits its list has no problem', async (t) => {
  const sound: readonly Partial<ListDefinition>[] = [
    {},
    { pagination: offset({ param: 'skip' }), pageSize: { param: 'limit', size: 2 } },
    { pagination: offset({ param: 'skip', overlap: 50 }), pageSize: { param: 'limit', size: 100 } },
    { pagination: pageNumber({ param: 'page' }) },
    { pagination: keyset({ param: 'after', field: 'owner.id' }) },
    {
      pagination: connection,
      items: 'data.customers.nodes',
      graphql: { query },
      pageSize: { param: 'first', size: 50 },
    },
  ];
  for (const list of sound) t.same(problemsOf(list), [], JSON.stringify(list));
  t.same(problemsOf({ pagination: keyset({ param: 'after', field: 'uid' }) }, null), [], 'a schema that is not known');
  t.same(problemsOf({ pagination: keyset({ param: 'after', field: 'uid' }) }, z.looseObject({})), [], 'an open schema');
});

test('pagination that cannot work with its list is told at its option', async (t) => {
  const cases: readonly [Partial<ListDefinition>, string, RegExp][] = [
    [{ pagination: offset({ param: 'skip' }) }, 'list.pageSize', /needed beside offset/],
    [
      { pagination: offset({ param: 'skip' }), pageSize: { param: 'limit', size: 1 } },
      'list.pageSize.size',
      /cannot overlap/,
    ],
    [
      { pagination: offset({ param: 'skip', overlap: 51 }), pageSize: { param: 'limit', size: 100 } },
      'list.pagination.overlap',
      /at most half/,
    ],
    [{ pagination: connection, items: 'data.customers.nodes' }, 'list.pagination', /no `graphql`/],
    [{ pagination: connection, items: 'data.orders.nodes', graphql: { query } }, 'list.items', /in the connection/],
    [
      { pagination: connection, items: 'data.customers.nodes', graphql: { query: '{ customers { nodes { id } } }' } },
      'list.pagination.after',
      /no variable \$after/,
    ],
    [
      {
        items: 'data.customers.nodes',
        pagination: connection,
        graphql: { query },
        pageSize: { param: 'limit', size: 9 },
      },
      'list.pageSize.param',
      /no variable \$limit/,
    ],
    [
      { pagination: keyset({ param: 'after', field: 'uid' }) },
      'list.pagination.field',
      /the schema has nothing at uid/,
    ],
    [{ pageSize: { param: 'limit', size: 100 } }, 'list.pageSize', /end at its first page/],
  ];
  for (const [list, path, message] of cases) {
    const [problem = '', ...others] = problemsOf(list);
    t.match(problem, message);
    t.ok(problem.startsWith(`${path}: `), problem);
    t.same(others, []);
  }
});

test('a parameter that would not arrive is told at its option', async (t) => {
  const graphql = (text: string) => ({ graphql: { query: text }, pageSize: { param: 'first', size: 9 } });
  const inBody = (param: string) => ({
    method: 'POST' as const,
    paramsIn: 'body' as const,
    body: { sort: 'id', filters: [{ active: true }] },
    pageSize: { param, size: 9 },
  });
  const cases: readonly [Partial<ListDefinition>, RegExp | null][] = [
    [graphql('query ($first: Int) { customers(first: $first) }'), null],
    [graphql('query ( $first :Int) { customers(first: $first) }'), null],
    [graphql('query { customers } # $first: Int'), /no variable \$first/],
    [graphql('query { customers(named: "$first: Int") }'), /no variable \$first/],
    [graphql('query { customers(named: """ "$first: Int" """) }'), /no variable \$first/],
    [inBody('limit'), null],
    [inBody('page.limit'), null],
    [inBody('filters.0.limit'), null],
    [inBody('filters.1.limit'), null],
    [inBody('filters.limit'), /an array/],
    [inBody('filters.2.limit'), /an array/],
    [inBody('sort.limit'), /string/],
    [inBody('page..limit'), /expected keys/],
  ];
  const pagination = cursor({ param: 'first', next: 'next' });
  for (const [list, message] of cases) {
    const problems = problemsOf({ ...list, pagination: list.graphql === undefined ? none() : pagination });
    const ofSize = problems.filter((problem) => problem.startsWith('list.pageSize.param: '));
    if (message === null) t.same(ofSize, [], JSON.stringify(list));
    else t.match(ofSize, [message], JSON.stringify(list));
  }
  const [problem] = problemsOf({ graphql: { query }, pagination: cursor({ param: 'cursor', next: 'next' }) });
  t.match(problem, /^list\.pagination\.param: the query has no variable \$cursor/);
});
