import type { Instant } from '../model/instant.ts';
import { SourceError } from './error.ts';
import type { PageSizing } from './pagination/page-size.ts';
import type { PageAnswer, Paginator, Resized } from './pagination/paginator.ts';

/** `pageSize` is null where the list does not say how large its pages are. */
export type PageAt = { readonly cursor: string | null; readonly pageSize: number | null };

/** A page's answer, and where it was. */
export type AskedPage = PageAnswer & { readonly startedAt: Instant; readonly endedAt: Instant };

/** Reads one page, with the retries of a call. Throws `SourceError`. */
export type AskPage = (at: PageAt) => Promise<AskedPage>;

type Deps = { readonly ask: AskPage; readonly paginator: Paginator; readonly sizing: PageSizing | null };

/**
 * Reads the page at `at`, in smaller pages when it is too much: the answer's cursor and size are those of the first of
 * them. Where no smaller page begins at the same record for certain, throws the error that there was and says why.
 */
export async function askShrinking(deps: Deps, start: PageAt): Promise<AskedPage> {
  let at = start;
  // Ends, since each round has smaller pages.
  for (;;) {
    try {
      return await deps.ask(at);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      const smaller = await findSmaller(deps, at, error);
      if (smaller === null) throw error;
      if (smaller.kind === 'refused') throw cannotShrink(error, smaller.why);
      at = smaller;
    }
  }
}

async function findSmaller({ ask, paginator, sizing }: Deps, at: PageAt, error: SourceError): Promise<Resized | null> {
  const { cursor, pageSize: from } = at;
  if (sizing === null || from === null) return null;
  const to = sizing.afterFailure(from, error);
  if (to === null) return null;
  const resized = paginator.resize(cursor, from, to);
  if (resized.kind === 'refused') return resized;
  if (resized.pageSize < sizing.min) return { kind: 'refused', why: `no size from ${sizing.min} on divides ${from}` };
  if (!resized.needsExactPages || (await givesExactly(ask, resized.pageSize))) return resized;
  return { kind: 'refused', why: 'the source does not give pages of exactly the size that was asked for' };
}

/**
 * Whether the source follows the size, shown by its first page: pages before this one were full at a larger size, so
 * there are records enough. A source that rounds sizes would take the page's number for another place.
 */
async function givesExactly(ask: AskPage, pageSize: number): Promise<boolean> {
  try {
    return (await ask({ cursor: null, pageSize })).items.length === pageSize;
  } catch (error) {
    if (error instanceof SourceError && error.code !== 'aborted') return false;
    throw error;
  }
}

const cannotShrink = (error: SourceError, why: string): SourceError =>
  new SourceError(error.code, `${error.message}; smaller pages cannot help: ${why}`, {
    status: error.status ?? undefined,
    retryAfterMs: error.retryAfterMs,
    cause: error,
  });
