import { inspect } from 'node:util';

/** Where the environment is read from: passed in, so that nothing reads it when imported. */
export type Environment = { readonly [name: string]: string | undefined };

/** A value that the environment will give at start. It never holds the value, so it cannot leak it. */
export type EnvironmentReference = {
  readonly kind: 'environment';
  readonly name: string;
  readonly isSecret: boolean;
  readonly fallback: string | undefined;
  toJSON(): string;
};

/** A literal, or a reference to an environment variable that is looked up once, at start. */
export type Setting = string | EnvironmentReference;

function reference(name: string, isSecret: boolean, fallback: string | undefined): EnvironmentReference {
  const label = isSecret ? `secret(${name})` : `env(${name})`;
  return Object.freeze({
    kind: 'environment' as const,
    name,
    isSecret,
    fallback,
    toJSON: () => label,
    toString: () => label,
    [inspect.custom]: () => label,
  });
}

/** Reads `name` from the environment at start. Without `fallback` a missing variable stops the start. */
export const env = (name: string, fallback?: string): EnvironmentReference => reference(name, false, fallback);

/** As `env`, for values that must never be shown: no fallback, and no part of it in any message. */
export const secret = (name: string): EnvironmentReference => reference(name, true, undefined);

export type SettingResult =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly problem: string };

/** Looks a setting up. An empty variable counts as missing: an empty secret would verify forgeries. */
export function readSetting(setting: Setting, environment: Environment): SettingResult {
  if (typeof setting === 'string') {
    return setting === '' ? { ok: false, problem: 'is empty' } : { ok: true, value: setting };
  }
  const value = environment[setting.name] ?? setting.fallback;
  if (value === undefined)
    return { ok: false, problem: `needs the environment variable ${setting.name}, which is not set` };
  if (value === '') return { ok: false, problem: `needs the environment variable ${setting.name}, which is empty` };
  return { ok: true, value };
}
