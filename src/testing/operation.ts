import type { IncomingHttpHeaders } from 'node:http';
import type { Answer } from './answer.ts';

export type SourceRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Parsed; undefined without one. */
  readonly body: unknown;
};

export type WriteVerb = 'create' | 'update' | 'delete';

/** What came of a write. */
export type Written = {
  readonly answer: Answer;
  /** Of what was written; null when nothing was. */
  readonly id: string | null;
};

/** What a request asks for. */
export type Operation =
  /** `asOfMs`: as a replica answers that has seen nothing since; null for the present. */
  | {
      readonly kind: 'read';
      readonly read: (asOfMs: number | null) => Answer;
      /** Goes on behind a record that an earlier page ended with. */
      readonly hasCursor?: boolean;
    }
  | {
      readonly kind: 'write';
      readonly resource: string;
      readonly verb: WriteVerb;
      /** Null for a create. */
      readonly id: string | null;
      readonly write: () => Written;
    };

/** How records are spoken of over HTTP; null where a request is about others. */
export type Dialect = (request: SourceRequest) => Operation | null;

/** A part of a path as it was before it was written into one; null where that is no text, as `%ff`. */
export function decodeSegment(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
