import { customer, event, signShop } from '../app/shop.ts';

export type Load = {
  /** Record ids of every delivery that was answered 2xx. */
  readonly acknowledged: Set<string>;
  /** Status, or 0 for a broken connection, to how often it came. */
  readonly statuses: Map<number, number>;
  /** Resolves once this many more were acknowledged. */
  more(count: number): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Sends deliveries as fast as a few senders can, each about a record of its own. Nothing is sent twice: what was not
 * acknowledged may be missing, what was must not.
 */
export function startLoad(address: () => string, options: { readonly name: string; readonly senders?: number }): Load {
  const acknowledged = new Set<string>();
  const statuses = new Map<number, number>();
  const waiting = new Set<() => void>();
  let isStopped = false;
  let sent = 0;

  async function send(): Promise<void> {
    while (!isStopped) {
      const id = `${options.name}-${sent++}`;
      const body = event('customer.created', customer(id));
      let status = 0;
      try {
        const response = await fetch(`${address()}/webhooks/shop`, {
          method: 'POST',
          body,
          headers: signShop(body),
          signal: AbortSignal.timeout(20_000),
        });
        await response.arrayBuffer();
        status = response.status;
      } catch {
        // The server was killed under the request: nobody knows whether it was stored, and so it was not acknowledged.
      }
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status === 202) {
        acknowledged.add(id);
        for (const check of waiting) check();
      } else {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  const senders = Array.from({ length: options.senders ?? 8 }, send);
  return {
    acknowledged,
    statuses,
    more(count) {
      const goal = acknowledged.size + count;
      return new Promise((resolve) => {
        const check = () => {
          if (acknowledged.size < goal) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
      });
    },
    async stop() {
      isStopped = true;
      await Promise.all(senders);
    },
  };
}
