import type { FailureRule } from './failure/definition.ts';

/** Methods that a definition may ask for. */
export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A request as the definitions make it. Nothing in it is a credential: those are added when it leaves. */
export type SourceRequest = {
  /** Method and path template, `GET /customers/{id}`: for messages and logs, and what rate limits match. */
  readonly endpoint: string;
  readonly method: Method;
  readonly url: URL;
  /** Sent beside the source's own; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON, as text, exactly as it is sent and signed; null for none. */
  readonly body: string | null;
  /** How the answer is judged: GraphQL tells of failures within a 200. */
  readonly protocol: 'rest' | 'graphql';
  /** Whether it may be sent again when nobody knows if it arrived. Reads may. */
  readonly isRepeatable: boolean;
  /** The endpoint's own, asked before the source's. */
  readonly failures?: readonly FailureRule[];
};
