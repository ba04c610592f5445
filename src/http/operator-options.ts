import type { Db } from '../db/connect.ts';
import { type Instant, toDate } from '../model/instant.ts';
import type { SyncDeps } from '../sync/deps.ts';
import type { Integration } from '../sync/integration.ts';
import type { PushDeps } from '../sync/push-deps.ts';
import type { LimitsOf } from '../sync/source-status.ts';
import type { Stream } from '../sync/stream.ts';
import type { createAccessGuard } from './access.ts';
import { notFound, ProblemError } from './problem.ts';

/** What the operator's routes work with. */
export type OperatorOptions = {
  readonly guard: ReturnType<typeof createAccessGuard>;
  readonly db: Db;
  readonly deps: SyncDeps;
  readonly integrations: ReadonlyMap<string, Integration>;
  /** Of two-way streams, by `integration/entity`. */
  readonly pushDeps: ReadonlyMap<string, PushDeps>;
  readonly nextRunAt: (stream: string) => Date | null;
  readonly wakeRuns: () => void;
  readonly limitsOf: LimitsOf;
  /** Fires at shutdown: waits end. */
  readonly stopping: AbortSignal;
};

/** All streams of an integration, or the one that is named. Throws the problem to answer with. */
export function streamsOf(options: OperatorOptions, integrationName: string, entity: string | undefined): Stream[] {
  const integration = options.integrations.get(integrationName);
  if (integration === undefined) throw notFound('integration');
  if (entity === undefined) return [...integration.streams.values()];
  return [findStream(options, integrationName, entity)];
}

export function findStream({ integrations }: OperatorOptions, integration: string, entity: string): Stream {
  const stream = integrations.get(integration)?.streams.get(entity);
  if (stream === undefined) throw notFound('entity');
  return stream;
}

export const conflict = (
  code: string,
  detail: string,
  more: { readonly [member: string]: unknown } = {},
): ProblemError => new ProblemError({ status: 409, code, title: 'This cannot be done now', detail, more });
export const invalid = (detail: string): ProblemError =>
  new ProblemError({ status: 422, code: 'invalid-input', title: 'The request does not fit', detail });

export const iso = (at: Instant | null): string | null => (at === null ? null : toDate(at).toISOString());
