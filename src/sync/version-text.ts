import type { Capabilities } from '../model/capabilities.ts';

const MICROS_PER_MS = 1000n;

/** As people are shown a version: one that is a timestamp as a moment, a counter as its digits. */
export function versionText(kind: Capabilities['versionKind'], version: bigint | null): string | null {
  if (version === null) return null;
  if (kind !== 'timestamp') return version.toString();
  const ms = Number(version / MICROS_PER_MS);
  const micros = (version % MICROS_PER_MS).toString().padStart(3, '0');
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return version.toString();
  return date.toISOString().replace('Z', micros === '000' ? 'Z' : `${micros}Z`);
}
