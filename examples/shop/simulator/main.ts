import { parseArgs } from 'node:util';
import { type Simulator, startSimulator } from './simulator.ts';

/**
 * The shop as a process: prints one JSON line with its port when it listens, takes `ControlRequest`s as process
 * messages `{ id, request }` and answers them with `{ id, ...ControlAnswer }`. Ends on SIGTERM, SIGINT, or when the
 * process that started it goes away.
 */
const USAGE = `Usage: main.ts [--port 0] [--seed 7] [--customers 200] [--orders 400] [--tick-ms 1000]
Environment: SHOP_API_TOKEN (shop-token), SHOP_WEBHOOK_SECRET (whsec_ and base64; a well-known one for trying out)`;

const TRIAL_TOKEN = 'shop-token';
const TRIAL_SECRET = `whsec_${Buffer.from('the shop example: not a secret!!').toString('base64')}`;
const MAX_PORT = 65_535;
const MAX_SEED = 2 ** 31 - 1;
const MAX_RECORDS = 1_000_000;
const MAX_TICK_MS = 60_000;

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    seed: { type: 'string', default: '7' },
    customers: { type: 'string', default: '200' },
    orders: { type: 'string', default: '400' },
    'tick-ms': { type: 'string', default: '1000' },
  },
});

const simulator = await startSimulator({
  port: readWhole('port', 0, MAX_PORT),
  seed: readWhole('seed', 0, MAX_SEED),
  records: { customers: readWhole('customers', 0, MAX_RECORDS), orders: readWhole('orders', 0, MAX_RECORDS) },
  tickMs: readWhole('tick-ms', 1, MAX_TICK_MS),
  token: process.env.SHOP_API_TOKEN || TRIAL_TOKEN,
  webhookSecret: process.env.SHOP_WEBHOOK_SECRET || TRIAL_SECRET,
  nowMs: Date.now,
});
endWithTheProcess(simulator);
process.on('message', (message: unknown) => void answerMessage(simulator, message));
process.stdout.write(`${JSON.stringify({ port: simulator.port, url: `http://127.0.0.1:${simulator.port}` })}\n`);

function readWhole(name: keyof typeof values, min: number, max: number): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  process.stderr.write(`--${name}: expected a whole number from ${min} to ${max}\n${USAGE}\n`);
  process.exit(2);
}

function endWithTheProcess({ close }: Simulator): void {
  const end = () => {
    close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) process.once(event, end);
}

async function answerMessage({ control }: Simulator, message: unknown): Promise<void> {
  if (typeof message !== 'object' || message === null || !('id' in message) || !('request' in message)) return;
  const answer = await control(message.request);
  if (process.connected) process.send?.({ id: message.id, ...answer });
}
