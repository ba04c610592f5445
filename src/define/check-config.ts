import type { Environment } from '../lib/setting.ts';
import type { ConfigDefinition } from './definition.ts';
export function checkConfig(
  definition: unknown,
  _environment: Environment,
): { ok: true; definition: ConfigDefinition } | { ok: false; problems: { path: string; problem: string }[] } {
  return { ok: true, definition: definition as ConfigDefinition };
}
