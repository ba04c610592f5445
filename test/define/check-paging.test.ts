import { test } from 'tap';
import { z } from 'zod';
import { checkPaging } from '../../src/define/check-paging.ts';
import { type ConfigProblem, createPlace } from '../../src/define/problems.ts';
import { type ListDefinition, listSchema } from '../../src/source/definition.ts';
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
