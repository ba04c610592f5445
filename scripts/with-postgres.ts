import { spawn } from 'node:child_process';
import { createPrivatePostgres } from '../test/helpers/postgres.ts';

/** Runs a command with DATABASE_URL naming a PostgreSQL server that lives as long as the command. Exits as the command does. */
const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error('Usage: with-postgres <command> [arguments]');
const server = await createPrivatePostgres();
const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, DATABASE_URL: server.url } });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
const code = await new Promise<number>((resolve) => {
  child.once('error', () => resolve(127));
  child.once('exit', (status) => resolve(status ?? 1));
});
await server.remove();
process.exitCode = code;
