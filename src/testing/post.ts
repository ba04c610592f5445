import { setMaxListeners } from 'node:events';
import { Agent, request } from 'node:http';

export type PostAnswer =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfterMs: number | null }
  | { readonly kind: 'failed' };

export type Poster = {
  /** Sends a JSON body. Never throws: no answer within `timeoutMs` is `failed`. */
  post(url: URL, headers: Readonly<Record<string, string>>, body: string, timeoutMs: number): Promise<PostAnswer>;
  /** Ends what is under way; later posts fail. */
  close(): void;
};

export function createPoster(): Poster {
  const agent = new Agent({ keepAlive: true });
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return {
    post: (url, headers, body, timeoutMs) =>
      new Promise((resolve) => {
        if (controller.signal.aborted) return resolve({ kind: 'failed' });
        const sent = request(
          url,
          {
            agent,
            method: 'POST',
            headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
          },
          (response) => {
            response.resume();
            // The status has come; how the rest of the answer ends changes nothing.
            response.on('error', () => undefined);
            response.on('close', () => {
              end({
                kind: 'answered',
                status: response.statusCode ?? 0,
                retryAfterMs: readRetryAfterMs(response.headers['retry-after']),
              });
            });
          },
        );
        const abort = () => sent.destroy(new Error('given up'));
        const timer = setTimeout(abort, timeoutMs);
        controller.signal.addEventListener('abort', abort, { once: true });
        const end = (answer: PostAnswer) => {
          clearTimeout(timer);
          controller.signal.removeEventListener('abort', abort);
          resolve(answer);
        };
        sent.on('error', () => end({ kind: 'failed' }));
        sent.end(body);
      }),
    close() {
      controller.abort();
      agent.destroy();
    },
  };
}

const MAX_RETRY_AFTER_S = 60;

function readRetryAfterMs(header: string | undefined): number | null {
  const seconds = Number(header ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, MAX_RETRY_AFTER_S) * 1_000 : null;
}
