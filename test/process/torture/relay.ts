import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Random } from '../../../src/testing/index.ts';
import type { Owner } from '../setup.ts';

export type Relay = {
  readonly url: string;
  /** Delivery ids that a server has answered with 2xx. */
  readonly acknowledged: ReadonlySet<string>;
};

/** Takes the source's webhooks and hands each to one of the servers that live just now, as a load balancer does. */
export async function startRelay(owner: Owner, addresses: () => readonly string[], random: Random): Promise<Relay> {
  const acknowledged = new Set<string>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const live = addresses();
    const [first] = live;
    if (first === undefined) return void response.writeHead(503).end();
    const address = random.pick([first, ...live.slice(1)]);
    const headers = Object.entries(request.headers).filter(([name]) => /^(content-type|webhook-)/.test(name));
    try {
      const answer = await fetch(`${address}/webhooks/torture`, {
        method: 'POST',
        headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
        body: Buffer.concat(chunks),
      });
      if (answer.ok) acknowledged.add(String(request.headers['webhook-id']));
      response.writeHead(answer.status).end();
    } catch {
      response.writeHead(502).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owner.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The relay has no port');
  return { url: `http://127.0.0.1:${address.port}/`, acknowledged };
}
