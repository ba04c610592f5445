import { monitorEventLoopDelay } from 'node:perf_hooks';
import { pino } from 'pino';
import { startServer } from '../src/server.ts';

/** A program: the real server, as its environment says, in a process of its own. */
const startedAtMs = performance.now();
const server = await startServer({
  environment: process.env,
  workingFolder: import.meta.dirname,
  log: pino({ level: 'warn' }, pino.destination({ fd: 2, sync: false })),
});
const loopDelay = monitorEventLoopDelay({ resolution: 2 });
loopDelay.enable();

const stop = async () => {
  await server.stop();
  process.exit(0);
};
process.on('disconnect', stop);
process.on('message', (message: string) => {
  if (message === 'stop') void stop();
  if (message !== 'load') return;
  process.send?.({ loopDelayP99Ms: loopDelay.percentile(99) / 1e6, cpuMs: cpuMs() });
  loopDelay.reset();
});
process.send?.({ address: server.address, startMs: performance.now() - startedAtMs });

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
