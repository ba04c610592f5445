import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { type RunningServer, startServer } from '../../../src/server.ts';
import type { ShopProcess } from './shop-process.ts';

/**
 * Starts the real server with the shop's integration, on the embedded database whatever the environment says: a demo must
 * not write into somebody's tables.
 */
export async function startDemoServer(
  shop: ShopProcess,
  options: {
    readonly port: number;
    readonly dataDir: string;
    readonly token: string;
    readonly webhookSecret: string;
    readonly logLevel: string;
  },
): Promise<RunningServer> {
  const folder = fileURLToPath(new URL('..', import.meta.url));
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return await startServer({
    environment: {
      PORT: String(options.port),
      SYNCLINE_DATA_DIR: options.dataDir,
      SYNCLINE_CONFIG: `${folder}/syncline.config.${ending}`,
      SHOP_API_URL: shop.url,
      SHOP_API_TOKEN: options.token,
      SHOP_WEBHOOK_SECRET: options.webhookSecret,
    },
    workingFolder: process.cwd(),
    log: pino({ level: options.logLevel, base: null }),
  });
}

/** Calls one of the server's own routes. */
export async function call(
  server: RunningServer,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(`${server.address}${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  if (!response.ok && response.status !== 409)
    throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return await response.json();
}
