import { readPath } from '../lib/path.ts';
import { mustParsePath } from '../lib/path-schema.ts';
import type { Instant } from '../model/instant.ts';
import type { Reply } from '../source/call.ts';
import type { SourceClient } from '../source/client.ts';
import { SourceError, type SourceErrorCode } from '../source/error.ts';
import { validatorHeader } from '../source/header.ts';
import { lacksRight, type PushAnswer, type PushSource, type SendOptions } from './push-answer.ts';
import type { Stream } from './stream.ts';

/** Pages of a search that are looked through; one that has more is no search. */
const MAX_SEARCH_PAGES = 5;

export type PushSourceDeps = {
  readonly client: Pick<SourceClient, 'write' | 'getRecord' | 'listPages'>;
  readonly stream: Pick<Stream, 'get' | 'list' | 'twoWay'>;
  /** The database's clock. */
  readonly now: () => Promise<Instant>;
};

/** What pushes ask of a source, by the client that all its streams share, in its first lane. */
export function createPushSource({ client, stream, now }: PushSourceDeps): PushSource {
  return {
    async send(request, options) {
      const maxMs = (options.deadline - (await now())) / 1_000;
      if (maxMs <= 0) return later('withheld', 'not sent: its time is over');
      const { mayLeave, signal, failures } = options;
      try {
        return answerOf(await client.write(request, { lane: 'urgent', signal, maxMs, mayLeave, failures }), options);
      } catch (error) {
        if (error instanceof SourceError) return answerToFailure(error);
        throw error;
      }
    },
    async read(externalId, signal) {
      if (stream.get === null) throw new SourceError('bad_request', 'not sent: records cannot be read by id');
      return await client.getRecord(stream.get, externalId, { signal });
    },
    async findByMarker(marker, signal) {
      const { field, searchParam } = stream.twoWay?.marker ?? { field: '', searchParam: null };
      if (searchParam === null)
        throw new SourceError('bad_request', 'not sent: records cannot be searched by a marker');
      const path = mustParsePath(field);
      let startedAt: Instant | null = null;
      let pages = 0;
      for await (const page of client.listPages(stream.list, { params: { [searchParam]: marker }, signal })) {
        startedAt ??= page.startedAt;
        const { endedAt } = page;
        const record = page.items.find((item) => {
          const found = readPath(item, path);
          return found.found && found.value === marker;
        });
        if (record !== undefined) return { kind: 'found', record, etag: null, startedAt: page.startedAt, endedAt };
        pages += 1;
        if (page.nextCursor === null) return { kind: 'absent', startedAt, endedAt };
        if (pages >= MAX_SEARCH_PAGES) break;
      }
      // Nothing shows that the parameter was heeded: a list of everything proves no absence on its first pages.
      throw new SourceError('invalid_response', `the search by marker does not end within ${MAX_SEARCH_PAGES} pages`);
    },
  };
}

function answerOf(reply: Reply, { recordAt, idAt }: SendOptions): PushAnswer {
  switch (reply.kind) {
    case 'absent':
      return { kind: 'absent', code: reply.error.code, words: reply.error.message };
    case 'not_modified':
      return { kind: 'unknown', code: 'invalid_response', words: 'a write was answered 304' };
    case 'answered': {
      const { startedAt, endedAt, answer } = reply;
      const record = valueAt(answer.body, recordAt) ?? null;
      const id = valueAt(answer.body, idAt);
      const named = typeof id === 'string' || Number.isSafeInteger(id) ? { externalId: String(id) } : {};
      return { kind: 'done', record, ...named, etag: validatorHeader(answer.headers.etag), startedAt, endedAt };
    }
  }
}

function valueAt(body: unknown, path: string | null): unknown {
  if (path === null) return undefined;
  const found = readPath(body, mustParsePath(path));
  return found.found ? found.value : undefined;
}

type Failed = Exclude<PushAnswer, { readonly kind: 'done' }>;

/** What the source said, or a rule of the definition for it: whatever the status, it turned the request down. */
const SAID: { readonly [code in SourceErrorCode]?: 'conflict' | 'refused' | 'unauthorized' } = {
  conflict: 'conflict',
  unauthorized: 'unauthorized',
  forbidden: 'refused',
  bad_request: 'refused',
  skipped: 'refused',
  bad_id: 'refused',
};

/** Failures that say nothing about what the source has done count only with the word that it surely has not. */
export function answerToFailure(error: SourceError): Failed {
  const { code, message: words, retryAfterMs: waitMs, isUndone } = error;
  const said = SAID[code];
  if (said !== undefined) return { kind: said, code, words: code === 'forbidden' ? lacksRight(words, 'write') : words };
  if (!isUndone) return { kind: 'unknown', code, words };
  if (code === 'too_large') return { kind: 'refused', code, words };
  // Also what failed where the credentials come from: that is no word on the record.
  return { kind: 'later', code, words, waitMs, isLimit: code === 'rate_limited' && error.status !== null };
}

const later = (code: string, words: string): Failed => ({ kind: 'later', code, words, waitMs: null, isLimit: false });
