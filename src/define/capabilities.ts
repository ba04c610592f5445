import { durationMs } from '../lib/duration.ts';
import type { Capabilities } from '../model/capabilities.ts';
import type { EntityDefinition } from './definition.ts';

/** What a source that documents nothing is taken to lag behind itself. */
const DEFAULT_READ_LAG_MS = 5_000;
const MICROS_PER_MS = 1000n;

/** What a definition declares, with everything it leaves out at its weakest value. */
export function capabilitiesOf({ version, read, deletes, readLag }: EntityDefinition): Capabilities {
  const skewMs = version.skew === undefined ? 0 : durationMs(version.skew);
  return {
    versionKind: version.kind,
    versionSkew: version.kind === 'timestamp' ? BigInt(skewMs) * MICROS_PER_MS : 0n,
    canGet: read.get !== undefined,
    readLagMs: readLag === undefined ? DEFAULT_READ_LAG_MS : durationMs(readLag),
    deleteEvents: deletes?.events ?? 'unversioned',
    canUndelete: deletes?.idsReturn ?? true,
  };
}
