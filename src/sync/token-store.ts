import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { readDatabaseNow } from '../db/instants.ts';
import type { Log } from '../lib/log.ts';
import { SealError, type Sealer } from '../lib/seal.ts';
import type { StoredTokens, TokenSet, TokenStore } from '../source/auth/token-store.ts';
import {
  type CredentialRow,
  leaseCredentials,
  listCredentials,
  noteCredentialUse,
  readCredentials,
  releaseCredentials,
  resealCredentials,
  saveCredentials,
} from '../store/credentials.ts';

const POLL_MS = 20;

const tokenSetSchema = z.object({
  accessToken: z.string().nullable(),
  requestedAt: z.number(),
  lifetimeMs: z.number().nullable(),
  scope: z.string().nullable(),
  refreshToken: z.string().nullable(),
  spares: z.array(z.string()),
  family: z.string(),
  seeds: z.array(z.string()),
  refused: z.object({ at: z.number(), isAnswerLost: z.boolean() }).nullable(),
});

export type DurableTokenStore = TokenStore & {
  /** Resolves when no request for tokens of this process is under way, or after `maxMs`: then their answers may be lost. */
  settled(maxMs: number): Promise<void>;
};

/** Tokens in the database, sealed. Shared by all replicas that have the key. */
export function createTokenStore({ db, sealer }: { readonly db: Db; readonly sealer: Sealer }): DurableTokenStore {
  const held = new Set<string>();

  const show = (integration: string, row: CredentialRow): StoredTokens => ({
    generation: row.generation,
    tokens: row.sealed === null ? null : open(sealer, integration, row.sealed),
    usedGeneration: row.usedGeneration,
    now: row.now,
  });

  return {
    async read(integration) {
      const row = await readCredentials(db, integration);
      if (row !== null) return show(integration, row);
      return { generation: 0, tokens: null, usedGeneration: null, now: await readDatabaseNow(db) };
    },
    async acquire(integration, leaseMs) {
      const claim = await leaseCredentials(db, integration, leaseMs);
      if (claim === null) return null;
      held.add(claim.lease);
      return { lease: claim.lease, stored: show(integration, claim.row) };
    },
    noteUse: (integration, use) => noteCredentialUse(db, integration, use),
    save: (integration, { lease, generation, tokens }) =>
      saveCredentials(db, integration, {
        lease,
        generation,
        sealed: sealer.seal(JSON.stringify(tokens), contextOf(integration)),
      }),
    async release(integration, lease, options) {
      try {
        await releaseCredentials(db, integration, lease, options);
      } finally {
        held.delete(lease);
      }
    },
    async settled(maxMs) {
      for (let waitedMs = 0; held.size > 0 && waitedMs < maxMs; waitedMs += POLL_MS) await wait(POLL_MS);
    },
  };
}

/** Puts the first key's seal on what an older one has sealed, so that the older one can go. @returns how many it could not open. */
export async function resealTokens({
  db,
  sealer,
  log,
}: {
  readonly db: Db;
  readonly sealer: Sealer;
  readonly log: Log;
}): Promise<number> {
  let unreadable = 0;
  for (const { integration, generation, sealed } of await listCredentials(db)) {
    try {
      const { text, isCurrent } = sealer.open(sealed, contextOf(integration));
      if (isCurrent) continue;
      const resealed = sealer.seal(text, contextOf(integration));
      if (await resealCredentials(db, integration, { generation, sealed: resealed }))
        log.info({ integration }, 'tokens were sealed anew, under the first key');
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      unreadable += 1;
      log.error({ integration, code: error.code }, 'no key in SYNCLINE_ENCRYPTION_KEY opens the stored tokens');
    }
  }
  return unreadable;
}

const contextOf = (integration: string) => ({ name: integration, purpose: 'tokens' });

function open(sealer: Sealer, integration: string, sealed: Buffer): TokenSet | 'unreadable' {
  try {
    return tokenSetSchema.parse(JSON.parse(sealer.open(sealed, contextOf(integration)).text));
  } catch (error) {
    if (error instanceof SealError) return 'unreadable';
    // Sealed by us, and not in a form that we know: by a later version, perhaps. What it holds must not be shown.
    if (error instanceof z.ZodError || error instanceof SyntaxError) return 'unreadable';
    throw error;
  }
}
