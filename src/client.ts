import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { createLazyDatabase } from './db/lazy.ts';
import { checkEndpoints } from './define/check-endpoints.ts';
import type { TypedIntegration } from './define/definition.ts';
import { type ConfigProblem, checkShape, createPlace, type Place } from './define/problems.ts';
import { NAME, NAME_SYNTAX } from './define/schemas.ts';
import type { Log } from './lib/log.ts';
import { createSealer, readKeys, type Sealer } from './lib/seal.ts';
import type { Environment } from './lib/setting.ts';
import { instantFromMs } from './model/instant.ts';
import type { BatchForm } from './source/batch.ts';
import { createCache } from './source/cache.ts';
import { type BatchEndpoint, callBatch } from './source/call-batch.ts';
import { type CallArguments, callEndpoint, type EndpointDeps, listEndpoint } from './source/call-endpoint.ts';
import { createSourceClient } from './source/client.ts';
import { type SourceDefinition, sourceSchema } from './source/definition.ts';
import type { AnyEndpoints, EndpointDefinition } from './source/endpoint.ts';
import type { ClientCallOptions, EndpointFunctions } from './source/endpoint-types.ts';
import { createMemoryLedger } from './source/rate-limit/ledger.ts';
import { createRequests } from './source/requests.ts';
import { type ResolvedSource, resolveSource } from './source/resolve.ts';
import { shareStores } from './sync/lazy-stores.ts';

export type ClientOptions = {
  /** Where `env` and `secret` are looked up, and `DATABASE_URL`. Default: the process's own. */
  readonly environment?: Environment;
  /** Told of retries and refusals. Default: nobody is. */
  readonly log?: Log;
};

/** The declared endpoints as functions, by name. */
export type Client<Forms extends AnyEndpoints, Given extends string> = EndpointFunctions<Forms, Given> & {
  /** Ends all connections. Calls under way fail with `aborted`. A script that uses a database ends only after this. */
  close(): Promise<void>;
};

/** The definition or the environment does not allow a client. Carries every problem found, without values. */
export class ClientSetupError extends Error {
  override readonly name = 'ClientSetupError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(['No client can be made:', ...problems.map(({ path, problem }) => `  ${path}: ${problem}`)].join('\n'));
    this.problems = problems;
  }
}

/** How long `close` waits for tokens that are being renewed. */
const MAX_SETTLE_MS = 5_000;

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * A typed client of an integration's source, for scripts: every declared endpoint as a function, with the authentication,
 * limits, retries, breaker and cache of the server. Nothing is connected before the first call. Where `DATABASE_URL` is set
 * the client shares limits, and with `SYNCLINE_ENCRYPTION_KEY` tokens, with the servers on that database; else it counts
 * for itself alone.
 * Throws `ClientSetupError`; the functions throw `SourceError`, and `DatabaseError` when the database is not to be had.
 */
export function createClient<const Forms extends AnyEndpoints, Given extends string>(
  integration: TypedIntegration<Forms, Given>,
  options: ClientOptions = {},
): Client<Forms, Given> {
  const environment = options.environment ?? process.env;
  const log = options.log ?? SILENT;
  const { source, endpoints, sealer } = prepare(integration, environment);
  const url = environment.DATABASE_URL || null;
  const database = url === null ? null : createLazyDatabase({ url, poolSize: 2, ingestPoolSize: 1, log });
  const shared = database === null ? null : shareStores(async () => (await database.open()).db, source.name, sealer);
  const nowMs = Date.now;
  const closing = new AbortController();
  const client = createSourceClient(source, {
    now: shared?.now ?? (async () => instantFromMs(nowMs())),
    random: Math.random,
    sleep: (ms, signal) => wait(ms, undefined, { signal }),
    nowMs,
    ledger: shared?.ledger ?? createMemoryLedger(nowMs),
    ...(shared?.tokens && { tokens: shared.tokens }),
    onBreaker: (change) => log.warn({ source: source.name, ...change }, 'the circuit breaker has changed'),
    log,
  });
  const deps: EndpointDeps = {
    client,
    requests: createRequests(source),
    cache: createCache({ call: client.send, nowMs }),
    newKey: randomUUID,
  };
  const calls = [...endpoints].map(([name, form]) => [
    name,
    (given: CallArguments = {}, { signal, onAnswer }: ClientCallOptions = {}) => {
      // One of its own for each call: a signal that thousands listen to would be taken for a leak.
      const how = {
        signal: AbortSignal.any([closing.signal, ...(signal ? [signal] : [])]),
        ...(onAnswer && { onAnswer }),
      };
      if (form.list !== undefined) return listEndpoint(deps, form, given, how);
      return isBatch(form) ? callBatch(deps, form, given, how) : callEndpoint(deps, form, given, how);
    },
  ]);
  const close = async () => {
    closing.abort(); // also those who wait: for a limit, a retry, a token
    await shared?.settled(MAX_SETTLE_MS);
    await client.close();
    await database?.close();
  };
  return asClient<Forms, Given>({ ...Object.fromEntries(calls), close });
}

const isBatch = (form: EndpointDefinition): form is BatchEndpoint & { readonly batch: BatchForm } =>
  form.batch !== undefined;

/** The one place where names become types: every function checks its arguments and its answer itself. */
// biome-ignore lint/suspicious/noExplicitAny: functions made from data cannot have the types of their declarations
const asClient = <Forms extends AnyEndpoints, Given extends string>(made: any): Client<Forms, Given> => made;

type Prepared = {
  source: ResolvedSource;
  sealer: Sealer | null;
  endpoints: readonly (readonly [string, EndpointDefinition])[];
};

/** Everything that can be known before a connection is opened, told at once. */
function prepare(
  integration: { name: string; source: unknown; endpoints?: unknown },
  environment: Environment,
): Prepared {
  const problems: ConfigProblem[] = [];
  try {
    const prepared = check(integration, environment, problems);
    if (prepared !== null && problems.length === 0) return prepared;
  } catch {
    // What a getter of the definition throws may show what it holds.
    createPlace(problems).add('cannot be read: something in it throws, or it is no integration');
  }
  throw new ClientSetupError(problems);
}

function check(
  integration: { name: string; source: unknown; endpoints?: unknown },
  environment: Environment,
  problems: ConfigProblem[],
): Prepared | null {
  const isNamed = typeof integration.name === 'string' && NAME.test(integration.name);
  const place = createPlace(problems, isNamed ? integration.name : '');
  if (!isNamed) place.at('name').add(NAME_SYNTAX);
  const here = place.at('source');
  const shape = checkShape(sourceSchema, integration.source, here);
  const checked = checkEndpoints(integration.endpoints, Object.keys(shape?.params ?? {}), place.at('endpoints'));
  const resolution =
    shape !== null && isSource(integration.source)
      ? resolveSource(integration.name, integration.source, environment)
      : null;
  if (resolution?.ok === false) for (const { path, problem } of resolution.problems) here.add(problem, path);
  const sealer = readSealer(
    environment,
    shape?.auth?.kind === 'oauth2' && shape.auth.grant === 'authorization_code',
    createPlace(problems),
  );
  const endpoints = [...checked].flatMap(([name, form]) => (form === null ? [] : [[name, form] as const]));
  return resolution?.ok === true ? { source: resolution.source, sealer, endpoints } : null;
}

/** Refresh tokens that are good for one use must be shared with the servers, or one of us would burn the other's. */
function readSealer(environment: Environment, isNeeded: boolean, place: Place): Sealer | null {
  if (!environment.DATABASE_URL) return null;
  const text = environment.SYNCLINE_ENCRYPTION_KEY;
  const here = place.at('SYNCLINE_ENCRYPTION_KEY');
  if (!text) {
    if (isNeeded) here.add('is needed beside DATABASE_URL: OAuth tokens are shared with the servers, sealed by it');
    return null;
  }
  const result = readKeys(text);
  if (result.ok) return createSealer(result.keys);
  here.add(result.problem);
  return null;
}

const isSource = (definition: unknown): definition is SourceDefinition => sourceSchema.safeParse(definition).success;
