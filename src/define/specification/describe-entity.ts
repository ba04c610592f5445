import { getTableColumns } from 'drizzle-orm';
import { getTableConfig } from 'drizzle-orm/pg-core';
import type { ColumnMapping, Step } from '../../mapping/field.ts';
import { endpointOf } from '../../source/requests.ts';
import type { EntityDefinition } from '../definition.ts';
import { describeWayBack, describeWrite } from './describe-write.ts';
import { code, table } from './markdown.ts';
import { optionRows } from './options.ts';

/** How one entity is ordered, read, paged and mapped: sections of Markdown, without a heading above level 3. */
export function describeEntity(name: string, entity: EntityDefinition): string {
  const { schema, name: tableName } = getTableConfig(entity.target);
  const target = schema === undefined ? tableName : `${schema}.${tableName}`;
  return [
    `### ${name} → ${code(target)}`,
    `Id: ${code(entity.key)}. Version: ${describeVersion(entity)}. ${describeDeletes(entity)}`,
    describeReading(entity),
    ...(entity.write === undefined ? [] : [describeWrite(entity.write)]),
    describeMapping(entity),
  ].join('\n\n');
}

function describeVersion({ version }: EntityDefinition): string {
  return version.kind === 'none'
    ? 'none; every doubt is settled by a read'
    : `${code(version.field)}, a ${version.kind}`;
}

function describeDeletes({ deletes, read }: EntityDefinition): string {
  const marker =
    deletes?.marker === undefined ? '' : ` A record says itself that it is deleted at ${code(deletes.marker.field)}.`;
  const proof =
    read.get === undefined
      ? 'A record is taken for deleted when two full runs in a row do not list it.'
      : 'A record is taken for deleted when a read of it answers 404 or 410.';
  return `${proof}${marker}`;
}

function describeReading({ read, reconcile, readLag }: EntityDefinition): string {
  const { list, get, changedSince } = read;
  const paging = optionRows(list.pagination).map(([option, value]) => `${option} ${value}`);
  const size = list.pageSize === undefined ? "the source's own page size" : `pages of ${list.pageSize.size}`;
  const rows = [
    [
      'list',
      `${code(endpointOf(list))}, ${size}, items at ${list.items === '' ? 'the answer itself' : code(list.items)}`,
    ],
    ['pagination', [code(list.pagination.kind), ...paging].join(', ')],
    ['changed since', changedSince === undefined ? 'not possible: full runs only' : code(changedSince.param)],
    ['one record', get === undefined ? 'not possible' : code(endpointOf(get))],
    ['read lag', code(readLag ?? '5s')],
    ['incremental run', reconcile?.incremental === undefined ? 'never' : code(reconcile.incremental)],
    ['full run', reconcile?.full === undefined ? 'the first load only' : code(reconcile.full)],
  ];
  return table(['reading', ''], rows);
}

function describeMapping(entity: EntityDefinition): string {
  const { target, mapping, write } = entity;
  const columns = getTableColumns(target);
  const wayBack = write === undefined ? null : describeWayBack(entity);
  const rows = Object.entries(mapping).map(([property, mapped]) => {
    const column = columns[property];
    const forth = [code(column?.name ?? property), column?.getSQLType() ?? '', ...describeColumnMapping(mapped)];
    return wayBack === null ? forth : [...forth, wayBack(property)];
  });
  return table(['column', 'type', 'from', 'steps', ...(wayBack === null ? [] : ['way back'])], rows);
}

function describeColumnMapping(mapped: ColumnMapping): readonly [from: string, steps: string] {
  switch (mapped.kind) {
    case 'field':
      return [code(mapped.path), describeSteps(mapped.steps)];
    case 'fields':
      return [mapped.paths.map(code).join(', '), describeSteps(mapped.steps)];
    case 'constant':
      return [`always ${code(JSON.stringify(mapped.value))}`, ''];
    case 'synced_at':
      return ['time of the last write', ''];
    case 'deleted_at':
      return ['time of the deletion', ''];
    default:
      return mapped satisfies never;
  }
}

const describeSteps = (steps: readonly Step[]): string =>
  steps
    .map((step) => {
      if (step.kind === 'default') return `default ${code(JSON.stringify(step.value))}`;
      return step.kind === 'required' ? 'required' : code(step.signature);
    })
    .join(', ');
