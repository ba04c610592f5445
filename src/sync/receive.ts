import { type FailureKind, failureKind } from '../db/failure.ts';
import type { Log } from '../lib/log.ts';
import type { NewDelivery } from '../model/inbox.ts';
import type { StoredDelivery } from '../store/inbox.ts';
import { createBodyReader } from '../webhook/body.ts';
import type { HandshakeAnswer } from '../webhook/handshake.ts';
import { type Headers, readHeader } from '../webhook/headers.ts';
import type { RejectionReason } from '../webhook/request.ts';
import { BacklogFullError } from './group-commit.ts';
import type { Integration, Webhook } from './integration.ts';

export type ReceivedRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly rawBody: Buffer;
  readonly correlationId: string;
};

/** What became of a request to the webhook route; the edge turns it into a status code. */
export type Received =
  | { readonly kind: 'accepted'; readonly id: number }
  | { readonly kind: 'duplicate'; readonly deliveryId: string | null }
  | { readonly kind: 'handshake'; readonly answer: HandshakeAnswer }
  | { readonly kind: 'no_handshake' }
  | { readonly kind: 'rejected'; readonly reason: RejectionReason }
  | { readonly kind: 'unavailable' };

export type ReceiveDeps = {
  readonly nowMs: () => number;
  /** Stores one delivery durably; undefined when its dedupe key is known. Concurrent calls share a commit. */
  readonly store: (delivery: NewDelivery) => Promise<StoredDelivery | undefined>;
  /** Called after the commit, with what was stored. */
  readonly onStored: () => void;
  /** Called with the failure of the moment that kept a delivery from being stored. */
  readonly onTurnedAway: (error: unknown) => void;
};

const MIN_WARNING_GAP_MS = 5_000;

/**
 * Takes one delivery in: verifies it over its exact bytes, stores it durably, and only then says so. It maps and applies
 * nothing: a sender waits for one commit and no more. Nothing of a request that fails verification is kept.
 */
export async function receive(
  deps: ReceiveDeps,
  integration: Integration,
  webhook: Webhook,
  request: ReceivedRequest,
): Promise<Received> {
  const { headers, rawBody } = request;
  const readBody = createBodyReader(rawBody, headers);
  const { method, path } = request;
  const verification = webhook.verify(
    { headers, rawBody, method, path, url: webhook.publicUrl, readBody },
    deps.nowMs(),
  );
  const answer = webhook.answerHandshake({ ...request, readBody, isVerified: verification.ok });
  if (answer !== null) return { kind: 'handshake', answer };
  if (method !== 'POST') return { kind: 'no_handshake' };
  if (!verification.ok) return { kind: 'rejected', reason: verification.reason };

  const { deliveryId, dedupeKey } = webhook.delivery.readDelivery({ headers, rawBody, readBody });
  try {
    const stored = await deps.store({
      integration: integration.name,
      dedupeKey,
      deliveryId,
      headers: keep(headers, webhook.keptHeaders),
      correlationId: request.correlationId,
      body: rawBody,
    });
    if (stored === undefined) return { kind: 'duplicate', deliveryId };
    deps.onStored();
    return { kind: 'accepted', id: stored.id };
  } catch (error) {
    // Nothing is committed, or nobody knows: the sender keeps the delivery and comes again.
    if (!(error instanceof BacklogFullError || PASSING.has(failureKind(error)))) throw error;
    deps.onTurnedAway(error);
    return { kind: 'unavailable' };
  }
}

/** Failures of the moment. Everything else would fail again, and somebody must be told. */
const PASSING: ReadonlySet<FailureKind> = new Set(['connection', 'full', 'timeout', 'serialization', 'lock_timeout']);

/**
 * Warns that deliveries are turned away, with how many since the last line: at most one line in `MIN_WARNING_GAP_MS`,
 * because a database that is away turns away every one of them.
 */
export function createTurnedAwayLog(log: Log, nowMs: () => number): (error: unknown) => void {
  let saidAtMs = Number.NEGATIVE_INFINITY;
  let unsaid = 0;
  return (error) => {
    unsaid += 1;
    if (nowMs() - saidAtMs < MIN_WARNING_GAP_MS) return;
    log.warn({ deliveries: unsaid, err: error }, 'deliveries are turned away: they cannot be stored now');
    saidAtMs = nowMs();
    unsaid = 0;
  };
}

function keep(headers: Headers, names: readonly string[]): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = readHeader(headers, name);
    if (value !== null) kept[name] = value;
  }
  return kept;
}
