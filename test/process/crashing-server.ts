import { writeSync } from 'node:fs';
import { startServer } from '../../src/server.ts';
import type { CrashPoint } from '../../src/sync/deps.ts';

/**
 * A whole server that ends by SIGKILL at a named point of its flows: `CRASH_AT=C17:3` at the third time that it comes by
 * there. Says where it died. Without `CRASH_AT` it is a server like any other.
 */
const [armed, nth] = (process.env.CRASH_AT ?? '').split(':');
let passages = 0;

function crashPoint(name: CrashPoint): void {
  if (name !== armed) return;
  passages += 1;
  if (passages < Number(nth ?? 1)) return;
  writeSync(1, `crashed at ${name}\n`);
  process.kill(process.pid, 'SIGKILL');
}

const server = await startServer({ environment: process.env, workingFolder: process.cwd(), crashPoint });
process.once('SIGTERM', () => void server.stop());
