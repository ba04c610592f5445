import type { NewCredentials } from '../source/new-credentials.ts';
import type { BodyProblem } from '../webhook/body.ts';
import type { DeliveryReader } from '../webhook/delivery.ts';
import type { HandshakeAnswerer } from '../webhook/handshake.ts';
import type { Verifier } from '../webhook/request.ts';
import type { PreparedRoutes } from '../webhook/routes.ts';
import type { Stream } from './stream.ts';

/** How one integration's deliveries are checked and taken apart; everything prepared once, at start. */
export type Webhook = {
  readonly verify: Verifier;
  readonly delivery: DeliveryReader;
  readonly routes: PreparedRoutes;
  readonly answerHandshake: HandshakeAnswerer;
  readonly maxBodyBytes: number;
  /** Lower-case names of the headers that routing reads, kept with the delivery. */
  readonly keptHeaders: readonly string[];
  /** The address as registered with the provider, where its signature covers it. */
  readonly publicUrl: string | null;
};

/** One integration at work. */
export type Integration = {
  readonly name: string;
  readonly newCredentials: NewCredentials;
  readonly webhook: Webhook | null;
  /** By entity. */
  readonly streams: ReadonlyMap<string, Stream>;
};

/** What to tell people about a body that cannot be read. */
export const BODY_PROBLEMS: { readonly [problem in BodyProblem]: string } = {
  empty: 'the body is empty: expected JSON',
  not_utf8: 'the body is not valid UTF-8: expected JSON in UTF-8',
  not_json: 'the body is not valid JSON',
  too_deep: 'the body nests deeper than 64 levels',
  bad_form: 'the form is malformed: expected one field `payload` with JSON',
};
