import { SourceError } from '../error.ts';
import { mergeTokens } from './token-basis.ts';
import type { TokenSet, TokenStore } from './token-store.ts';

const MAX_SAVES = 8;
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 2_000;

/** What the source gave, and the generation that it was asked for with. */
export type Unsaved = { readonly generation: number; readonly tokens: TokenSet };

type KeepingDeps = {
  readonly name: string;
  readonly store: TokenStore;
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

/**
 * Stores tokens that the source has given: over what they were asked for with or, where somebody was quicker, beside that.
 * The lease does not matter for it, since nobody else has these tokens. Tries for some seconds, whatever is aborted.
 * @returns whether they are now the live ones. Throws the store's failure; then they are not stored.
 */
export async function keepTokens(
  { name, store, random, sleep }: KeepingDeps,
  { generation, tokens }: Unsaved,
  lease: string | null,
): Promise<boolean> {
  const never = new AbortController().signal;
  let base = generation;
  let merged = tokens;
  for (let save = 1; ; save++) {
    try {
      if (await store.save(name, { lease, generation: base, tokens: merged }))
        return merged.accessToken === tokens.accessToken;
      const stored = await store.read(name);
      // Written by a process with a newer key: it knows of a rotation that we do not, and cannot be compared.
      if (stored.tokens === 'unreadable') return false;
      const both = mergeTokens(stored.tokens, tokens);
      if (both === null) return false;
      base = stored.generation;
      merged = both;
      if (save >= MAX_SAVES) throw new SourceError('network', `${name}: the stored tokens change too fast`);
    } catch (error) {
      if (save >= MAX_SAVES) throw error;
      await sleep(random() * Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** save), never);
    }
  }
}
