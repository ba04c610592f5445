export type Ended<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'deadline' }
  | { readonly kind: 'aborted' };

/**
 * Runs something that must end within `timeoutMs`, or as soon as `signal` fires. At either it returns at once, without
 * waiting for `run` to notice its own signal: undici notices one only when it has a connection.
 * What `run` throws passes through; what it throws after the end is dropped.
 */
export function runWithin<T>(
  timeoutMs: number,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<Ended<T>> {
  if (signal.aborted) return Promise.resolve({ kind: 'aborted' });
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    const endEarly = (kind: 'deadline' | 'aborted') => {
      stop();
      resolve({ kind });
      controller.abort();
    };
    const onAbort = () => endEarly('aborted');
    const timer = setTimeout(endEarly, timeoutMs, 'deadline');
    signal.addEventListener('abort', onAbort, { once: true });
    run(controller.signal).then(
      (value) => {
        stop();
        resolve({ kind: 'done', value });
      },
      (error: unknown) => {
        stop();
        reject(error);
      },
    );
  });
}
