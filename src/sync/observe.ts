import { mustParsePath } from '../lib/path-schema.ts';
import { valueAt } from '../mapping/identity.ts';
import type { Mapped, MappingProblem } from '../mapping/mapper.ts';
import type { Sighted } from '../model/apply.ts';
import type { Instant } from '../model/instant.ts';
import type { Channel, Observation, Origin } from '../model/observation.ts';
import type { Stream } from './stream.ts';

/** Where and when a source's record was seen. */
export type Sight = {
  readonly channel: Channel;
  readonly origin: Origin;
  readonly lo: Instant;
  readonly hi: Instant;
  readonly isFullRun: boolean;
  readonly isPartial: boolean;
  readonly previousVersion: bigint | null;
  readonly etag: string | null;
  readonly inboxId: number | null;
  readonly correlationId: string | null;
  readonly isLastAttempt: boolean;
};

export type Observed =
  | { readonly kind: 'sighted'; readonly sighted: Sighted }
  | { readonly kind: 'ignored'; readonly externalId: string | null }
  | { readonly kind: 'incomplete'; readonly externalId: string; readonly version: bigint | null }
  | {
      readonly kind: 'invalid';
      readonly externalId: string | null;
      readonly problem: MappingProblem;
      readonly record: unknown;
    };

/** Maps one source record into an observation. Never throws: a record that does not map comes back as `invalid`. */
export function observe(stream: Pick<Stream, 'mapper' | 'twoWay'>, record: unknown, sight: Sight): Observed {
  const mapped = stream.mapper.map(record, { isPartial: sight.isPartial });
  switch (mapped.kind) {
    case 'ignored':
      return { kind: 'ignored', externalId: mapped.externalId };
    case 'invalid':
      return { kind: 'invalid', externalId: mapped.externalId, problem: mapped.problem, record };
    case 'incomplete':
      return mapped;
    case 'mapped':
      return { kind: 'sighted', sighted: toSighted(stream, mapped, record, sight) };
  }
}

/** The observation that a record is not there. */
export function observeAbsence(
  externalId: string,
  sight: Sight,
  said: { isPositiveDelete: boolean; version: bigint | null },
): Sighted {
  return wrap(
    {
      ...common(externalId, sight),
      content: null,
      hash: null,
      partial: false,
      version: said.version,
      isPositiveDelete: said.isPositiveDelete,
      marker: null,
    },
    null,
    sight,
  );
}

/** Written out field by field, where spreading would be shorter: it runs for every record of every page. */
function toSighted(
  stream: Pick<Stream, 'twoWay'>,
  mapped: Extract<Mapped, { kind: 'mapped' }>,
  record: unknown,
  sight: Sight,
): Sighted {
  const { externalId, version } = mapped;
  if (mapped.isDeleted) return observeAbsence(externalId, sight, { isPositiveDelete: true, version });
  const marked = stream.twoWay?.marker ?? null;
  const seen: Observation = {
    externalId,
    content: mapped.content,
    hash: sight.isPartial ? null : mapped.hash,
    partial: sight.isPartial,
    previousVersion: sight.previousVersion,
    version,
    etag: sight.etag,
    lo: sight.lo,
    hi: sight.hi,
    channel: sight.channel,
    isPositiveDelete: false,
    marker: marked === null ? null : markerIn(record, marked.field),
    isFullRun: sight.isFullRun,
    origin: sight.origin,
  };
  return wrap(seen, record, sight);
}

function markerIn(record: unknown, field: string): string | null {
  const value = valueAt(record, mustParsePath(field));
  return typeof value === 'string' && value !== '' ? value : null;
}

const common = (externalId: string, sight: Sight) => ({
  externalId,
  previousVersion: sight.previousVersion,
  etag: sight.etag,
  lo: sight.lo,
  hi: sight.hi,
  channel: sight.channel,
  isFullRun: sight.isFullRun,
  origin: sight.origin,
});

/** The record's text is made only when something asks for it: most records are never set aside. */
function wrap(seen: Observation, record: unknown, sight: Sight): Sighted {
  const { inboxId, correlationId, isLastAttempt } = sight;
  return {
    seen,
    get record() {
      return record === null ? null : JSON.stringify(record);
    },
    inboxId,
    correlationId,
    isLastAttempt,
  };
}
