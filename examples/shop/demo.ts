import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { runCheck } from './demo/check.ts';
import { runLive } from './demo/live.ts';

/**
 * The demo: the real server with a real integration against a simulated shop in another process.
 * `--check` drives it through every fault and compares; without it the demo runs until it is interrupted.
 */
const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    seed: { type: 'string', default: '7' },
    changes: { type: 'string', default: '3000' },
    port: { type: 'string', default: process.env.PORT || '3000' },
    'data-dir': { type: 'string', default: '.syncline-demo' },
  },
});

const seed = Number(values.seed);
const secrets = {
  token: randomBytes(16).toString('hex'),
  webhookSecret: `whsec_${randomBytes(32).toString('base64')}`,
};

if (values.check) {
  process.exitCode = await runCheck({ seed, changes: Number(values.changes), ...secrets });
} else {
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());
  await runLive({ seed, port: Number(values.port), dataDir: values['data-dir'], ...secrets, signal: ending.signal });
}
