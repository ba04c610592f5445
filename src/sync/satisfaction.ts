import type { Capabilities } from '../model/capabilities.ts';
import type { Instant } from '../model/instant.ts';

/**
 * Whether a read settles what a hint asked: it is late enough, or it shows the wanted version. Two changes can share one
 * timestamp, so there only a greater one shows that the wanted change is in it.
 */
export function isSatisfied(
  wanted: { readonly needLo: Instant; readonly minVersion: bigint | null },
  shown: { readonly lo: Instant; readonly version: bigint | null },
  caps: Capabilities,
): boolean {
  if (shown.lo >= wanted.needLo) return true;
  if (wanted.minVersion === null || shown.version === null) return false;
  if (caps.versionKind === 'counter') return shown.version >= wanted.minVersion;
  return shown.version > wanted.minVersion + caps.versionSkew;
}
