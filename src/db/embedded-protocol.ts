import type { QueryResult, RowMode } from './session.ts';

/** What the main thread and the embedded database's thread say to each other. Everything survives a structured clone. */

export type WorkerRequest =
  | {
      readonly kind: 'query';
      readonly id: number;
      readonly sql: string;
      readonly params: readonly unknown[];
      readonly rowMode: RowMode;
    }
  /** Several statements without parameters. */
  | { readonly kind: 'exec'; readonly id: number; readonly sql: string }
  | { readonly kind: 'dump'; readonly id: number }
  | { readonly kind: 'close'; readonly id: number };

export type WireResult = QueryResult & {
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
};

/** An error as PostgreSQL reports it. Own fields only: a structured clone drops those of a class. */
export type WireError = { readonly message: string; readonly fields: { readonly [name: string]: string } };

export type WorkerReply =
  | { readonly kind: 'ready'; readonly serverVersion: number }
  | { readonly kind: 'result'; readonly id: number; readonly result: WireResult }
  | { readonly kind: 'dump'; readonly id: number; readonly dump: Uint8Array }
  | { readonly kind: 'error'; readonly id: number; readonly error: WireError }
  /** The database is beyond help: the thread ends after this. */
  | { readonly kind: 'fatal'; readonly message: string };

export type WorkerSettings = {
  /** A folder that exists, or `memory://`. */
  readonly dataDir: string;
  /** An uncompressed dump to begin from instead of an empty database. */
  readonly dump: Uint8Array | null;
};
