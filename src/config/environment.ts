import { isIP } from 'node:net';
import { z } from 'zod';
import { createSealer, readKeys, type Sealer } from '../lib/seal.ts';
import type { Environment } from '../lib/setting.ts';

export const ROLES = ['ingest', 'worker', 'scheduler'] as const;
export type Role = (typeof ROLES)[number];

const MIN_TOKEN_LENGTH = 16;
/** Well above what a busy provider sends, below what one address can do to a small machine. */
const DEFAULT_WEBHOOKS_PER_MINUTE = 600_000;

const MAX_WEBHOOKS_PER_MINUTE = 1_000_000_000;
const DEFAULT_HOST = '127.0.0.1';

/** A whole number in decimal digits: `Number` would also read ' ', '0x10' and '1e3'. */
const digits = (error: string, { min, max }: { min: number; max: number }) =>
  z
    .string()
    .refine((text) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max, error)
    .transform(Number);

const rolesSchema = z.string().transform((text, context): readonly Role[] => {
  const names = text.split(',').map((name) => name.trim());
  if (names.length === 1 && names[0] === 'all') return ROLES;
  const known = ROLES.filter((role) => names.includes(role));
  if (known.length !== new Set(names).size) {
    context.addIssue({ code: 'custom', message: `expected all, or a comma list of ${ROLES.join(', ')}` });
  }
  return known;
});

const environmentSchema = z.object({
  DATABASE_URL: z
    .string()
    .refine((text) => /^postgres(?:ql)?:\/\//.test(text), 'expected an address such as postgres://user@host/database')
    .optional(),
  SYNCLINE_DATA_DIR: z.string().min(1).default('.syncline'),
  PORT: digits('expected a port number from 0 to 65535', { min: 0, max: 65_535 }).default(3000),
  HOST: z.string().min(1).default(DEFAULT_HOST),
  SYNCLINE_CONFIG: z.string().min(1).default('syncline.config.ts'),
  SYNCLINE_ADMIN_TOKEN: z
    .string()
    .min(MIN_TOKEN_LENGTH, `expected at least ${MIN_TOKEN_LENGTH} characters`)
    .regex(/^[\x21-\x7e]*$/, 'expected printable characters without blanks')
    .optional(),
  SYNCLINE_ENCRYPTION_KEY: z
    .string()
    .transform((text, context): Sealer => {
      const keys = readKeys(text);
      if (keys.ok) return createSealer(keys.keys);
      context.addIssue({ code: 'custom', message: keys.problem });
      return z.NEVER;
    })
    .optional(),
  SYNCLINE_PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: 'expected a URL such as https://sync.example.com' })
    .optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  SYNCLINE_ROLE: rolesSchema.default(ROLES),
  SYNCLINE_WEBHOOKS_PER_MINUTE: digits('expected a whole number above 0', {
    min: 1,
    max: MAX_WEBHOOKS_PER_MINUTE,
  }).default(DEFAULT_WEBHOOKS_PER_MINUTE),
});

/** The server's settings, checked. */
export type ServerSettings = {
  readonly databaseUrl: string | undefined;
  readonly dataDir: string;
  readonly port: number;
  readonly host: string;
  readonly configPath: string;
  readonly adminToken: string | null;
  /** Seals and opens under the keys of SYNCLINE_ENCRYPTION_KEY, which it does not show; null without one. */
  readonly sealer: Sealer | null;
  readonly publicUrl: string | null;
  readonly logLevel: string;
  readonly roles: readonly Role[];
  readonly maxWebhooksPerMinute: number;
};

export type StartProblem = { readonly path: string; readonly problem: string };
export type SettingsResult =
  | { readonly ok: true; readonly settings: ServerSettings }
  | { readonly ok: false; readonly problems: readonly StartProblem[] };

/** Reads the server's own environment variables. An empty one counts as not set. All problems come at once, without values. */
export function readSettings(environment: Environment): SettingsResult {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const result = environmentSchema.safeParse(given);
  const problems: StartProblem[] = (result.error?.issues ?? []).map(({ path, message }) => ({
    path: path.join('.'),
    problem: message,
  }));
  // Beside the schema: its own rules over several variables are passed over as soon as one of them is wrong.
  if (!isLoopback(given.HOST ?? DEFAULT_HOST) && given.SYNCLINE_ADMIN_TOKEN === undefined) {
    problems.push({
      path: 'SYNCLINE_ADMIN_TOKEN',
      problem:
        'needed because HOST is not a loopback address; set a long random token, for example from: openssl rand -hex 32',
    });
  } else if (given.SYNCLINE_PUBLIC_URL !== undefined && given.SYNCLINE_ADMIN_TOKEN === undefined) {
    problems.push({
      path: 'SYNCLINE_ADMIN_TOKEN',
      problem:
        'needed because SYNCLINE_PUBLIC_URL says that a proxy passes requests on, and strangers behind it look like this machine; set a long random token, for example from: openssl rand -hex 32',
    });
  }
  if (!result.success || problems.length > 0) return { ok: false, problems };
  const values = result.data;
  return {
    ok: true,
    settings: {
      databaseUrl: values.DATABASE_URL,
      dataDir: values.SYNCLINE_DATA_DIR,
      port: values.PORT,
      host: values.HOST,
      configPath: values.SYNCLINE_CONFIG,
      adminToken: values.SYNCLINE_ADMIN_TOKEN ?? null,
      sealer: values.SYNCLINE_ENCRYPTION_KEY ?? null,
      publicUrl: values.SYNCLINE_PUBLIC_URL ?? null,
      logLevel: values.LOG_LEVEL,
      roles: values.SYNCLINE_ROLE,
      maxWebhooksPerMinute: values.SYNCLINE_WEBHOOKS_PER_MINUTE,
    },
  };
}

/** An address that only this machine can reach. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
