import { kindOf } from '../lib/kind.ts';
import { type Path, readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { ListDefinition } from './definition.ts';
import { SourceError } from './error.ts';

type Form = Pick<ListDefinition, 'items' | 'record'>;

/** The records of an answer; undefined for an item that has none where it should be. Throws `invalid_response`. */
export function readItems(endpoint: string, { items: path, record }: Form, body: unknown): readonly unknown[] {
  const items = valueAt(body, mustParsePath(path));
  if (!Array.isArray(items)) {
    const place = path === '' ? 'the answer' : `\`${path}\``;
    throw new SourceError('invalid_response', `${endpoint}: ${place}: expected an array, got ${kindOf(items)}`);
  }
  if (record === undefined) return items;
  const recordPath = mustParsePath(record);
  return items.map((item) => valueAt(item, recordPath));
}

function valueAt(value: unknown, path: Path): unknown {
  const found = readPath(value, path);
  return found.found ? found.value : undefined;
}
