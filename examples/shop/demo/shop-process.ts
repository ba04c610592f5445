import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { WriteCounts } from 'syncline/testing';
import type { ControlAnswer, ControlRequest, ControlState } from '../simulator/control.ts';

export type ShopProcess = {
  readonly url: string;
  /** Asks the shop for something and answers with its state afterwards. */
  control(request: ControlRequest): Promise<ControlState>;
  /** All records of one kind as they truly are. */
  truth(kind: 'customers' | 'orders'): Promise<unknown[]>;
  /** Writes that its API received and executed. */
  writes(): Promise<WriteCounts>;
  stop(): Promise<void>;
};

const STOP_MS = 5_000;

/** Starts the simulated shop as a process of its own, as a real one would be; it ends with this process. */
export async function startShopProcess(options: {
  readonly seed: number;
  readonly token: string;
  readonly webhookSecret: string;
}): Promise<ShopProcess> {
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const file = fileURLToPath(new URL(`../simulator/main.${ending}`, import.meta.url));
  const child = fork(file, ['--seed', String(options.seed)], {
    env: { ...process.env, SHOP_API_TOKEN: options.token, SHOP_WEBHOOK_SECRET: options.webhookSecret },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    // Ctrl-C is for us; the shop is told to stop, and ends anyway when this process does.
    detached: true,
  });
  if (child.stdout === null) throw new Error('The shop has no output to tell its port on');
  const [line] = await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('The shop ended before it listened'))),
  ]);
  const { url } = JSON.parse(String(line)) as { url: string };

  let lastId = 0;
  const waiting = new Map<number, (answer: ControlAnswer) => void>();
  const ended: ControlAnswer = { ok: false, problem: 'it has ended' };
  child.once('exit', () => {
    for (const answer of waiting.values()) answer(ended);
    waiting.clear();
  });
  child.on('message', (message: ControlAnswer & { id: number }) => {
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  });

  return {
    url,
    async control(request) {
      const id = ++lastId;
      const answer = await new Promise<ControlAnswer>((resolve) => {
        if (!child.connected) return resolve(ended);
        waiting.set(id, resolve);
        child.send({ id, request });
      });
      if (!answer.ok) throw new Error(`The shop refused: ${answer.problem}`);
      return answer.state;
    },
    async truth(kind) {
      const response = await fetch(`${url}/_truth/${kind}`, { headers: { authorization: `Bearer ${options.token}` } });
      return (await response.json()) as unknown[];
    },
    async writes() {
      const response = await fetch(`${url}/_writes`, { headers: { authorization: `Bearer ${options.token}` } });
      return (await response.json()) as WriteCounts;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await exited;
      clearTimeout(kill);
    },
  };
}
