import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Logger, pino } from 'pino';
import { type App, createApp } from './app.ts';
import { assembleIntegration } from './assemble.ts';
import { readSettings, type ServerSettings, type StartProblem } from './config/environment.ts';
import { loadConfig } from './config/load.ts';
import { StartError } from './config/start-error.ts';
import { readVersion } from './config/version.ts';
import { connectDatabase, type Database } from './db/connect.ts';
import { readDatabaseNow } from './db/instants.ts';
import { migrateDatabase, migrateFolder } from './db/migrate.ts';
import { checkConfig } from './define/check-config.ts';
import type { ConfigDefinition } from './define/definition.ts';
import { describeTarget } from './define/target.ts';
import { withoutMessages } from './lib/log.ts';
import type { Environment } from './lib/setting.ts';
import { type Authorization, prepareAuthorization } from './source/auth/oauth2-authorization.ts';
import type { BreakerChange } from './source/breaker.ts';
import { createSourceClient, type SourceClient, type SourceDeps } from './source/client.ts';
import { resolveSource } from './source/resolve.ts';
import { saveBreaker } from './store/source-states.ts';
import { registerStream } from './store/streams.ts';
import { checkTarget } from './store/target.ts';
import { alignCaptures } from './sync/capture.ts';
import type { CrashPoint } from './sync/deps.ts';
import type { Integration } from './sync/integration.ts';
import { createLimitLedger } from './sync/limit-ledger.ts';
import { resumeIntegration } from './sync/pause.ts';
import { readPause } from './sync/source-status.ts';
import { fingerprintOf } from './sync/stream.ts';
import { tellWrites } from './sync/tell-writes.ts';
import { createTokenStore, type DurableTokenStore, resealTokens } from './sync/token-store.ts';

/** Where drizzle notes which of the user's migrations are applied. */
const USER_MIGRATIONS_TABLE = 'user_migrations';
/** At the stop, for the answer to a request for tokens that is under way. */
const MAX_SETTLING_MS = 2_000;

export type StartOptions = {
  readonly environment: Environment;
  /** What relative paths start from. */
  readonly workingFolder: string;
  /** Instead of the file that SYNCLINE_CONFIG names; its folder of migrations starts from the working folder. */
  readonly definition?: ConfigDefinition;
  /** Instead of the logger that LOG_LEVEL asks for. */
  readonly log?: Logger;
  /** Tests stop the flows at named points; nothing happens there otherwise. */
  readonly crashPoint?: (name: CrashPoint) => Promise<void> | void;
};

export type RunningServer = {
  readonly app: App;
  readonly address: string;
  readonly database: Database;
  readonly integrations: ReadonlyMap<string, Integration>;
  readonly log: Logger;
  /** Stops everything within seconds. Safe to repeat. */
  stop(): Promise<void>;
};

/**
 * Starts a whole server: settings, configuration, database, migrations, workers, HTTP. Throws `StartError` with every
 * problem of configuration and environment at once, `DatabaseError` when the database is not to be had; what was opened
 * by then is closed again.
 */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const { settings, config } = await readAll(options);
  const log = withoutMessages(options.log ?? createLogger(settings));
  const database = await connectDatabase({ url: settings.databaseUrl, dataDir: dataDir(settings, options), log });
  const clients: SourceClient[] = [];
  const tokens = settings.sealer === null ? null : createTokenStore({ db: database.db, sealer: settings.sealer });
  const closeAll = async () => {
    // A refresh token that was given and not stored is lost.
    await tokens?.settled(MAX_SETTLING_MS);
    await Promise.allSettled(clients.map((client) => client.close()));
    await database.close();
  };
  try {
    await applyMigrations(database, config);
    if (settings.sealer !== null) await resealTokens({ db: database.db, sealer: settings.sealer, log });
    const integrations = assembleAll(config.definition, {
      settings,
      database,
      clients,
      log,
      environment: options.environment,
      tokens,
    });
    await assertTargets(database, integrations);
    await captureEdits(database, config.definition, log);
    for (const { name, streams } of integrations.values()) {
      // Credentials may have been changed with the restart: the first refusal pauses again.
      await resumeIntegration(database.db, name, 'start');
      // A breaker belongs to a process, and the one that opened it may be gone.
      await saveBreaker(database.db, name, { state: 'closed', reason: null });
      for (const stream of streams.values()) await registerStream(database.db, stream.key, fingerprintOf(stream));
    }
    const app = await createApp({
      settings,
      database,
      integrations,
      schedules: schedulesOf(config.definition),
      ...(tokens === null ? {} : { tokens }),
      authorizations: authorizationsOf(config.definition, options.environment),
      log,
      version: readVersion(),
      nowMs: Date.now,
      random: Math.random,
      ...(options.crashPoint === undefined ? {} : { crashPoint: options.crashPoint }),
    });
    const address = await app.start().catch(async (error: unknown) => {
      await app.stop();
      throw error;
    });
    tellWrites(config.definition, log);
    log.info(
      { address, database: database.kind, roles: settings.roles, integrations: [...integrations.keys()] },
      'ready',
    );
    let stopped: Promise<void> | null = null;
    const stop = async () => {
      await app.stop();
      await closeAll();
    };
    return { app, address, database, integrations, log, stop: () => (stopped ??= stop()) };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/**
 * Applies Syncline's and the configuration's migrations, has the edits of two-way tables captured, and ends. Throws as
 * `startServer` does.
 */
export async function migrateAll(options: StartOptions): Promise<void> {
  const { settings, config } = await readAll(options);
  const log = withoutMessages(options.log ?? createLogger(settings));
  const database = await connectDatabase({ url: settings.databaseUrl, dataDir: dataDir(settings, options), log });
  try {
    await applyMigrations(database, config);
    await captureEdits(database, config.definition, log);
  } finally {
    await database.close();
  }
}

type CheckedConfig = { readonly definition: ConfigDefinition; readonly folder: string };

/** Everything that can be wrong before a connection is opened, told at once. */
async function readAll({
  environment,
  workingFolder,
  definition,
}: StartOptions): Promise<{ settings: ServerSettings; config: CheckedConfig }> {
  const problems: StartProblem[] = [];
  const settings = readSettings(environment);
  if (!settings.ok) problems.push(...settings.problems);
  const path = environment.SYNCLINE_CONFIG || 'syncline.config.ts';
  const loaded =
    definition === undefined
      ? await loadConfig(path, workingFolder)
      : ({ ok: true, definition, folder: workingFolder } as const);
  if (!loaded.ok) problems.push({ path: 'SYNCLINE_CONFIG', problem: loaded.problem });
  const checked = loaded.ok ? checkConfig(loaded.definition, environment) : null;
  if (loaded.ok && checked?.ok) problems.push(...migrationProblems(checked.definition, loaded.folder));
  if (checked?.ok) problems.push(...keyProblems(checked.definition, environment));
  if (checked !== null && !checked.ok) problems.push(...checked.problems);
  if (problems.length > 0 || !settings.ok || !loaded.ok || checked === null || !checked.ok)
    throw new StartError(problems);
  return { settings: settings.settings, config: { definition: checked.definition, folder: loaded.folder } };
}

const dataDir = (settings: ServerSettings, { workingFolder }: StartOptions): string =>
  settings.dataDir.includes('://') ? settings.dataDir : resolve(workingFolder, settings.dataDir);

async function applyMigrations(database: Database, { definition, folder }: CheckedConfig): Promise<void> {
  await migrateDatabase(database);
  const path = migrationsFolder(definition, folder);
  if (path !== null) await migrateFolder(database, path, USER_MIGRATIONS_TABLE);
}

function migrationsFolder({ migrations }: ConfigDefinition, folder: string): string | null {
  if (migrations === undefined) return null;
  return migrations instanceof URL ? fileURLToPath(migrations) : resolve(folder, migrations);
}

function migrationProblems(definition: ConfigDefinition, folder: string): StartProblem[] {
  const path = migrationsFolder(definition, folder);
  if (path === null || existsSync(join(path, 'meta', '_journal.json'))) return [];
  return [
    {
      path: 'migrations',
      problem: 'is no folder of migrations: expected one made by drizzle-kit, with meta/_journal.json',
    },
  ];
}

/** A bad key is reported with the other settings. */
function keyProblems({ integrations }: ConfigDefinition, environment: Environment): StartProblem[] {
  const needing = integrations.filter(
    ({ source: { auth } }) => auth?.kind === 'oauth2' && auth.grant === 'authorization_code',
  );
  if (needing.length === 0 || environment.SYNCLINE_ENCRYPTION_KEY) return [];
  const names = needing.map(({ name }) => name).join(', ');
  return [
    {
      path: 'SYNCLINE_ENCRYPTION_KEY',
      problem: `needed because a person authorizes ${names}, and the tokens of that are kept sealed; set one, for example from: openssl rand -base64 32`,
    },
  ];
}

const authorizationsOf = ({ integrations }: ConfigDefinition, environment: Environment) =>
  new Map(
    integrations.flatMap(({ name, source }): [string, Authorization][] => {
      const authorization = prepareAuthorization(source, environment, Date.now);
      return authorization === null ? [] : [[name, authorization]];
    }),
  );

type AssembleParts = {
  settings: ServerSettings;
  database: Database;
  clients: SourceClient[];
  log: Logger;
  environment: Environment;
  tokens: DurableTokenStore | null;
};

function assembleAll(definition: ConfigDefinition, parts: AssembleParts): ReadonlyMap<string, Integration> {
  const { settings, database, clients, log, environment, tokens } = parts;
  const integrations = definition.integrations.map((one) =>
    assembleIntegration(one, {
      environment,
      publicUrl: settings.publicUrl,
      lookups: {
        isPaused: async (name) => (await readPause(database.db, name)) !== null,
        nowMs: Date.now,
        sleep: (ms, signal) => wait(ms, undefined, { signal }),
        log,
      },
      clientOf: ({ name, source }) => {
        const resolved = resolveSource(name, source, environment);
        if (!resolved.ok)
          throw new StartError(
            resolved.problems.map(({ path, problem }) => ({ path: `${name}.source.${path}`, problem })),
          );
        const client = createSourceClient(resolved.source, {
          now: () => readDatabaseNow(database.db),
          random: Math.random,
          sleep: (ms, signal) => wait(ms, undefined, { signal }),
          nowMs: Date.now,
          ledger: createLimitLedger(database.db, name),
          onBreaker: createBreakerNotes(database, name, log),
          ...(tokens === null ? {} : { tokens }),
          log,
        });
        clients.push(client);
        return client;
      },
    }),
  );
  return new Map(integrations.map((integration) => [integration.name, integration]));
}

/** Writes down how a source's breaker stands, one change after the other. */
function createBreakerNotes(database: Database, name: string, log: Logger): SourceDeps['onBreaker'] {
  let saved = Promise.resolve();
  const save = (change: BreakerChange) => {
    saved = saved
      .then(() => saveBreaker(database.db, name, change))
      .catch((err: unknown) => log.warn({ source: name, err }, 'the state of the circuit breaker was not saved'));
  };
  return (change) => {
    log.warn({ source: name, ...change }, 'the circuit breaker has changed');
    save(change);
  };
}

/** Tables that could not be written are found before the first delivery, not by it. */
async function assertTargets(database: Database, integrations: ReadonlyMap<string, Integration>): Promise<void> {
  const problems: StartProblem[] = [];
  for (const { streams } of integrations.values()) {
    for (const { key, target } of streams.values()) {
      for (const { table, problem } of await checkTarget(database.db, target)) {
        problems.push({
          path: `${key.integration}.entities.${key.entity}.target`,
          problem: `the table ${table} ${problem}`,
        });
      }
    }
  }
  if (problems.length > 0) throw new StartError(problems);
}

/** After the migrations, which may make a table anew, and before the first write of ours. */
async function captureEdits(database: Database, { integrations }: ConfigDefinition, log: Logger): Promise<void> {
  const wanted = integrations.flatMap(({ name, entities }) =>
    Object.entries(entities).flatMap(([entity, form]) =>
      form.write === undefined
        ? []
        : [
            {
              key: { integration: name, entity },
              target: describeTarget(form),
              ...(form.write.localDeletes === undefined ? {} : { localDeletes: form.write.localDeletes }),
            },
          ],
    ),
  );
  const sleep = async (ms: number) => {
    await wait(ms);
  };
  const problems = await alignCaptures({ database, log, sleep }, wanted);
  if (problems.length === 0) return;
  throw new StartError(
    problems.map(({ capture: { key, target }, problem }) => ({
      path: `${key.integration}.entities.${key.entity}.target`,
      problem: `the table ${target.schema}.${target.name} ${problem}`,
    })),
  );
}

const schedulesOf = ({ integrations }: ConfigDefinition) =>
  new Map(
    integrations.flatMap(({ name, entities }) =>
      Object.entries(entities).map(
        ([entity, { reconcile }]) =>
          [
            `${name}/${entity}`,
            { incremental: reconcile?.incremental ?? null, full: reconcile?.full ?? null },
          ] as const,
      ),
    ),
  );

const createLogger = ({ logLevel }: ServerSettings): Logger => pino({ level: logLevel, base: null });
