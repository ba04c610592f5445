import { hash } from 'node:crypto';
import type { z } from 'zod';
import { type Kind, kindOf } from '../lib/kind.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import { canCheckPartial, checkPartial, checkRecord } from '../lib/schema-check.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';
import { hashValues, prepareContentHash } from './canonical.ts';
import { type ColumnReader, INCOMPLETE, isContent, prepareReader } from './column.ts';
import type { Mapping, Step } from './field.ts';
import { createVersionReader, type MarkerForm, parseId, type VersionForm, valueAt } from './identity.ts';
import type { LookupReader } from './lookup.ts';
import type { MappingProblem } from './problem.ts';
import { ABSENT } from './read-field.ts';
import { Refusal } from './refusal.ts';

export type { MappingProblem } from './problem.ts';

export type Mapped =
  | {
      readonly kind: 'mapped';
      readonly externalId: string;
      /** Canonical. Of a partial payload only the properties that it carries; empty when `isDeleted`. */
      readonly content: Content;
      /** Of `content` as it stands: for a partial payload not comparable with that of the whole record. */
      readonly hash: string;
      /** Null where the entity has no versions, and where a partial payload or a deleted record shows none. */
      readonly version: bigint | null;
      /** The record carries the entity's mark of deletion. */
      readonly isDeleted: boolean;
    }
  /** The entity's `only` says that the record is none of its own. Never of a partial payload, which may not show it. */
  | { readonly kind: 'ignored'; readonly externalId: string | null }
  /** A partial payload that cannot be used by itself (a column made of several fields, some of them absent): read the record. */
  | { readonly kind: 'incomplete'; readonly externalId: string; readonly version: bigint | null }
  | { readonly kind: 'invalid'; readonly externalId: string | null; readonly problem: MappingProblem };

export type IdResult =
  | { readonly ok: true; readonly externalId: string }
  | { readonly ok: false; readonly problem: MappingProblem };

/** Everything that one entity's mapping can do. Pure, and none of it throws, whatever the record is. */
export type Mapper = {
  /** One declaration for webhook payloads and API rows alike. */
  map(raw: unknown, options?: { readonly isPartial?: boolean }): Mapped;
  /** The id of a record that may be unfit otherwise. */
  externalIdOf(raw: unknown): IdResult;
  /** An id that stands by itself, as a thin payload sends it. */
  parseId(value: unknown): IdResult;
  /** The version of a record, null when there is none to read. */
  versionOf(raw: unknown): bigint | null;
  /** A version that stands by itself, in the entity's format; null when it cannot be read. */
  parseVersion(value: unknown): bigint | null;
  /** Digest of canonical content, however its keys are ordered. */
  hashOf(content: Content): string;
  /** Changes when the mapping does, so that a full run is owed. Functions of the user's count by their source text. */
  readonly fingerprint: string;
};

export type MapperForm = {
  readonly integration: string;
  readonly entity: string;
  readonly schema: z.ZodType;
  /** Dot path to the id. */
  readonly key: string;
  readonly version: VersionForm;
  readonly marker?: MarkerForm | undefined;
  readonly only?: ((record: unknown) => boolean) | undefined;
  readonly mapping: Mapping;
  readonly target: TargetTable;
  /** Tables for the steps that look ids up. */
  readonly lookups?: LookupReader | undefined;
};

/**
 * Compiles an entity's mapping. Id, version and mark of deletion are read from the record as it came; columns are read
 * from what the schema gives. Throws a `TypeError` or `Refusal` on a definition that `checkConfig` would refuse.
 */
export function createMapper(form: MapperForm): Mapper {
  const { schema, target, only } = form;
  const keyPath = mustParsePath(form.key);
  const version = createVersionReader(form.version);
  const isMarked = prepareMarker(form.marker);
  const readers = target.contentProperties.map((property) => readerOf(form, property));

  const problemOf = prepareProblems(form);

  function readId(raw: unknown): IdResult {
    return toIdResult(form.key, () => valueAt(raw, keyPath));
  }

  function toIdResult(fieldPath: string | null, read: () => unknown): IdResult {
    let value: unknown;
    try {
      value = read();
      return { ok: true, externalId: parseId(value) };
    } catch (error) {
      return {
        ok: false,
        problem: problemOf(null, { ...reasonOf(error, 'unreadable'), fieldPath, received: safeKindOf(value) }),
      };
    }
  }

  function mapChecked(raw: unknown, isPartial: boolean): Mapped {
    const id = readId(raw);
    if (!id.ok) return { kind: 'invalid', externalId: null, problem: id.problem };
    const { externalId } = id;
    const invalid = (reason: Reason): Mapped => ({
      kind: 'invalid',
      externalId,
      problem: problemOf(externalId, reason),
    });

    const seenVersion = version.read(raw);
    if (isMarked(raw)) {
      return { kind: 'mapped', externalId, content: {}, hash: EMPTY_HASH, version: seenVersion, isDeleted: true };
    }
    const checked = isPartial ? checkPartial(schema, raw) : checkRecord(schema, raw);
    if (!checked.ok) return invalid({ code: 'schema', ...checked });
    const { record } = checked;
    if (!isPartial && only !== undefined && !only(record)) return { kind: 'ignored', externalId };
    if (isPartial && !isPartialReadable) return { kind: 'incomplete', externalId, version: seenVersion };
    if (seenVersion === null && version.field !== null) {
      const received = kindOf(valueAt(raw, mustParsePath(version.field)));
      if (!isPartial || received !== 'missing') {
        return invalid({ code: 'bad_version', fieldPath: version.field, expected: version.expected, received });
      }
    }

    const content: Record<string, JsonValue> = {};
    const named: JsonValue[] = [];
    for (const reader of readers) {
      let value: JsonValue | typeof ABSENT | typeof INCOMPLETE;
      try {
        value = reader.read(record, raw, isPartial);
      } catch (error) {
        const { fieldPath } = reader;
        return invalid({ ...reasonOf(error, 'user_function'), fieldPath, received: reader.received(record) });
      }
      if (value === ABSENT) continue;
      if (value === INCOMPLETE) return { kind: 'incomplete', externalId, version: seenVersion };
      content[reader.property] = value;
      named.push(reader.property, value);
    }
    return { kind: 'mapped', externalId, content, hash: hashValues(named), version: seenVersion, isDeleted: false };
  }

  const isPartialReadable = canCheckPartial(schema);
  return {
    map(raw, options) {
      try {
        return mapChecked(raw, options?.isPartial ?? false);
      } catch (error) {
        // Functions in the schema or `only`, or a record that is no plain JSON.
        const id = readId(raw);
        const externalId = id.ok ? id.externalId : null;
        const reason = { ...reasonOf(error, 'user_function'), fieldPath: null, received: safeKindOf(raw) };
        return { kind: 'invalid', externalId, problem: problemOf(externalId, reason) };
      }
    },
    externalIdOf: readId,
    parseId: (value) => toIdResult(null, () => value),
    versionOf: (raw) => orNull(() => version.read(raw)),
    parseVersion: (value) => orNull(() => version.parse(value)),
    hashOf: prepareContentHash(target),
    fingerprint: fingerprintOf(form),
  };
}

type Reason = Pick<MappingProblem, 'code' | 'fieldPath' | 'expected' | 'received'>;
const EMPTY_HASH = hashValues([]);

function readerOf({ mapping, target, lookups }: MapperForm, property: string): ColumnReader {
  const columnMapping = mapping[property];
  const column = target.columns[property];
  if (columnMapping === undefined || column === undefined || !isContent(columnMapping)) {
    throw new TypeError(`No content is mapped to the property ${property} of ${target.name}`);
  }
  return prepareReader(property, columnMapping, column, lookups);
}

function prepareMarker(marker: MarkerForm | undefined): (raw: unknown) => boolean {
  if (marker === undefined) return () => false;
  const path = mustParsePath(marker.field);
  return (raw) => valueAt(raw, path) === marker.equals;
}

/** What a thrown thing says about the record. Only a `Refusal` speaks for itself: other messages may quote values. */
function reasonOf(error: unknown, otherwise: 'user_function' | 'unreadable'): Pick<Reason, 'code' | 'expected'> {
  if (Refusal.isRefusal(error)) return { code: error.code, expected: error.expected };
  const expected =
    otherwise === 'unreadable' ? 'plain JSON' : "a value that the integration's own function takes (it threw)";
  return { code: otherwise, expected };
}

function prepareProblems({ integration, entity }: MapperForm) {
  return (externalId: string | null, { code, fieldPath, expected, received }: Reason): MappingProblem => {
    // An id is the source's own text: escaped, so that it cannot break a log line.
    const record = externalId === null ? 'a record' : `record ${JSON.stringify(externalId).slice(1, -1)}`;
    const place = fieldPath === null || fieldPath === '' ? '' : `: ${fieldPath}`;
    const message = `${integration}/${entity} ${record}${place}: expected ${expected}, got ${received}`;
    return { code, integration, entity, externalId, fieldPath, expected, received, message };
  };
}

/** Array.isArray throws on a revoked proxy. */
function safeKindOf(raw: unknown): Kind {
  try {
    return kindOf(raw);
  } catch {
    return 'other';
  }
}

function orNull(read: () => bigint | null): bigint | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Everything that decides what content a record gives, and in which order its states stand. */
function fingerprintOf({ mapping, target, key, version, marker, only }: MapperForm): string {
  const columns = target.contentProperties.map((property) => {
    const columnMapping = mapping[property];
    const steps = columnMapping !== undefined && 'steps' in columnMapping ? columnMapping.steps.map(signatureOf) : [];
    return [property, { ...columnMapping, steps }, target.columns[property] ?? null];
  });
  return hash(
    'sha256',
    JSON.stringify([
      target.schema,
      target.name,
      target.keyProperty,
      key,
      version,
      marker ?? null,
      only?.toString() ?? '',
      columns,
    ]),
  );
}

const signatureOf = (step: Step): unknown => (step.kind === 'transform' ? step.signature : step);
