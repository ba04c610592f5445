import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import type { Sealer } from '../lib/seal.ts';
import type { Instant } from '../model/instant.ts';
import type { TokenStore } from '../source/auth/token-store.ts';
import type { Ledger } from '../source/rate-limit/ledger.ts';
import { createLimitLedger } from './limit-ledger.ts';
import { createTokenStore, type DurableTokenStore } from './token-store.ts';

/** A ledger that is opened by its first use. What opening throws is thrown by that use, and the next one tries again. */
const createLazyLedger = (open: () => Promise<Ledger>): Ledger => ({
  update: async (decide) => (await open()).update(decide),
  read: async () => (await open()).read(),
});

/** A token store that is opened by its first use, as above. */
const createLazyTokenStore = (open: () => Promise<TokenStore>): TokenStore => ({
  read: async (integration) => (await open()).read(integration),
  acquire: async (integration, leaseMs) => (await open()).acquire(integration, leaseMs),
  noteUse: async (integration, use) => (await open()).noteUse(integration, use),
  save: async (integration, saved) => (await open()).save(integration, saved),
  release: async (integration, lease, options) => (await open()).release(integration, lease, options),
});

export type SharedStores = {
  readonly now: () => Promise<Instant>;
  readonly ledger: Ledger;
  /** Left out where there is nothing to seal tokens with. */
  readonly tokens?: TokenStore;
  /** Resolves when no request for tokens is under way, at the latest after `maxMs`: its answer may be the only copy. */
  settled(maxMs: number): Promise<void>;
};

/** What a client shares with the servers on one database, which is opened by the first use of any of it. */
export function shareStores(openDb: () => Promise<Db>, integration: string, sealer: Sealer | null): SharedStores {
  let tokens: DurableTokenStore | null = null;
  const openTokens = (key: Sealer) => async () => {
    const db = await openDb();
    tokens ??= createTokenStore({ db, sealer: key });
    return tokens;
  };
  return {
    now: async () => await readDatabaseNow(await openDb()),
    ledger: createLazyLedger(async () => createLimitLedger(await openDb(), integration)),
    ...(sealer === null ? {} : { tokens: createLazyTokenStore(openTokens(sealer)) }),
    settled: async (maxMs) => await tokens?.settled(maxMs),
  };
}
