import type { EntityDefinition } from '../define/definition.ts';
import { wayBackOf } from '../define/way-back.ts';
import type { PolicyChoice, WriteDefinition } from '../define/write.ts';
import { durationMs } from '../lib/duration.ts';
import { canonicalise } from '../mapping/canonical.ts';
import { prepareUnmap } from '../mapping/unmap.ts';
import type { ConflictPolicy } from '../model/conflict.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetTable } from '../model/target.ts';
import { prepareWrites } from './prepare-writes.ts';
import type { TwoWay } from './two-way.ts';

/**
 * Long enough for the statements of one request of an application to become one call, short enough that an edit is at the
 * source well within a second.
 */
const DEFAULT_DEBOUNCE_MS = 200;
const DEFAULT_MAX_SHARE = 0.1;
const DEFAULT_MINIMUM = 20;
const DEFAULT_TTL_MS = 24 * 3_600_000;
const DEFAULT_BUDGET = { calls: 10, perMs: 600_000 };
const DEFAULT_SKEW_MS = 2_000;
const DEFAULT_POLICY = 'source_wins';

/** What makes a stream two-way, with its defaults filled in; null for a mirror. Expects a definition that `checkConfig` accepts. */
export function prepareTwoWay(form: EntityDefinition, target: TargetTable): TwoWay | null {
  const { write, schema, mapping } = form;
  if (write === undefined) return null;
  const { properties } = wayBackOf(form);
  const createOnly: readonly string[] = write.createOnly ?? [];
  const recordPolicy = policyOf(write.conflict);
  const policies = new Map(
    Object.entries(write.fields ?? {}).map(([property, choice]) => [property, policyOf(choice)]),
  );
  const { idempotency, marker, budget } = write;
  return {
    writable: new Set(write.update === undefined ? [] : properties.filter((name) => !createOnly.includes(name))),
    creatable: new Set(write.create === undefined ? [] : properties),
    writes: prepareWrites(form, write),
    mode: write.mode ?? 'target-first',
    policyOf: (property) => policies.get(property) ?? recordPolicy,
    comparesTimes: [recordPolicy, ...policies.values()].includes('newest_wins'),
    recordPolicy,
    adopt: write.adopt ?? 'source_wins',
    localDeletes: write.localDeletes ?? 'restore',
    massDelete: {
      maxShare: write.massDelete?.maxShare ?? DEFAULT_MAX_SHARE,
      minimum: write.massDelete?.minimum ?? DEFAULT_MINIMUM,
    },
    idempotency:
      idempotency === undefined
        ? null
        : { header: idempotency.header.toLowerCase(), ttlMs: msOf(idempotency.ttl, DEFAULT_TTL_MS) },
    marker: marker === undefined ? null : { field: marker.field, searchParam: marker.searchParam ?? null },
    mayDuplicateCreates: write.onUnknownCreate === 'retry',
    debounceMs: msOf(write.debounce, DEFAULT_DEBOUNCE_MS),
    budget: budget === undefined ? DEFAULT_BUDGET : { calls: budget.calls, perMs: durationMs(budget.per) },
    clockSkewMs: msOf(write.clockSkew, DEFAULT_SKEW_MS),
    unmap: prepareUnmap({ schema, mapping, target, properties }),
    constants: constantsOf(form, target),
  };
}

function constantsOf({ mapping }: EntityDefinition, { columns }: TargetTable): Content {
  const constants: Record<string, JsonValue> = {};
  for (const [property, mapped] of Object.entries(mapping)) {
    const column = columns[property];
    if (mapped.kind === 'constant' && column !== undefined) constants[property] = canonicalise(mapped.value, column);
  }
  return constants;
}

const msOf = (duration: WriteDefinition['debounce'], otherwise: number): number =>
  duration === undefined ? otherwise : durationMs(duration);

function policyOf(choice: PolicyChoice | undefined): ConflictPolicy {
  if (choice === undefined || choice === 'merge') return DEFAULT_POLICY;
  return typeof choice === 'string' ? choice : choice.merge;
}
