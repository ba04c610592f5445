import type { Headers } from '../../src/webhook/headers.ts';
import type { SignedRequest } from '../../src/webhook/request.ts';

/** A POST of this body; headers in lower case, as Node gives them. */
export const aRequest = (
  headers: Headers,
  body: string | Buffer = '{}',
  over: Partial<SignedRequest> = {},
): SignedRequest => ({
  headers,
  rawBody: typeof body === 'string' ? Buffer.from(body) : body,
  method: 'POST',
  path: '/webhooks/shop',
  url: null,
  ...over,
});
