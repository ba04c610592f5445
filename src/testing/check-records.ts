import type { EntityDefinition } from '../define/definition.ts';
import { describeTarget } from '../define/target.ts';
import { lookupsOf } from '../mapping/lookup.ts';
import { createMapper, type Mapper } from '../mapping/mapper.ts';
import { valueAt } from './json.ts';
import type { Random } from './random.ts';
import { withVersion } from './record-version.ts';
import type { StandInEntity } from './stand-in.ts';

const SAMPLES = 20;

/** What makes the records that `makeRecord` gives none of this definition's: in words, without a value. */
export function problemsOfRecords(parts: {
  readonly name: string;
  readonly entity: EntityDefinition;
  readonly own: StandInEntity;
  readonly newId: () => string;
  readonly random: Random;
}): readonly string[] {
  const { name, entity, own, newId, random } = parts;
  const mapper = mapperOf(name, entity);
  const problems = new Set<string>();
  const version = own.facts?.version ?? entity.version;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const id = newId();
    const record = withVersion(own.makeRecord(id, random), version, Date.now());
    const found = valueAt(record, entity.key);
    if (String(found) !== id) {
      const what = found === undefined ? 'nothing stands there' : 'another value stands there';
      problems.add(
        `${name}: \`key: '${entity.key}'\` must lead to the record's id, and ${what} in the records of makeRecord.`,
      );
      continue;
    }
    const mapped = mapper?.map(record);
    if (mapped?.kind === 'invalid') {
      const { fieldPath, expected, received } = mapped.problem;
      problems.add(
        `${name}: the mapping refuses records of makeRecord: ${fieldPath ?? 'the record'}: expected ${expected}, got ${received}.`,
      );
    }
  }
  return [...problems];
}

/** Null for a mapping with lookups: what those find is known to a server only. */
function mapperOf(
  name: string,
  { schema, key, version, deletes, only, mapping, ...form }: EntityDefinition,
): Mapper | null {
  if (Object.values(mapping).some((column) => lookupsOf(column).length > 0)) return null;
  const target = describeTarget({ schema, key, version, mapping, ...form });
  return createMapper({
    integration: 'checked',
    entity: name,
    schema,
    key,
    version,
    marker: deletes?.marker,
    only,
    mapping,
    target,
  });
}
