/**
 * What a source can do for one entity. Anything unknown is declared at its weakest value:
 * a wrong strong claim loses data, a wrong weak one costs a read.
 */
export type Capabilities = {
  /** How two versions of a record compare. Timestamps that are equal are not ordered. */
  readonly versionKind: 'counter' | 'timestamp' | 'none';
  /** Versions closer than this are not ordered; 0 when the source stamps with one clock. In the version's own unit. */
  readonly versionSkew: bigint;
  /** A record can be read by its id. */
  readonly canGet: boolean;
  /** A read may miss changes younger than this. */
  readonly readLagMs: number;
  /** Whether a delete event carries a version newer than the record's last update. */
  readonly deleteEvents: 'versioned' | 'unversioned';
  /** Whether an id can come back after its deletion. */
  readonly canUndelete: boolean;
};
