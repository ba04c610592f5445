import { z } from 'zod';
import { until } from '../../app/setup.ts';
import { fileOf, type Owner, type Process, programOf, startNode } from '../setup.ts';

const itemSchema = z.object({
  id: z.string(),
  ref: z.string(),
  name: z.string(),
  amount: z.number(),
  note: z.string().nullable(),
  label: z.string().nullable(),
});
export type Item = z.infer<typeof itemSchema>;
const countSchema = z.object({ received: z.number(), executed: z.number() });
const writesSchema = z.object({
  byRecord: z.object({ items: z.record(z.string(), countSchema).default({}) }),
  byKey: z.record(z.string(), countSchema),
  counters: z.object({ writes: z.record(z.string(), z.number()) }),
});
export type Writes = z.infer<typeof writesSchema>;
const historySchema = z.object({ states: z.array(itemSchema), made: z.record(z.string(), z.number()) });
export type History = z.infer<typeof historySchema>;

export type SourceEdit =
  | { readonly op: 'create'; readonly fields: Partial<Item> }
  | { readonly op: 'update'; readonly ref: string; readonly fields: Partial<Item> }
  | { readonly op: 'delete'; readonly ref: string };

export type SourceProcess = {
  readonly process: Process;
  readonly origin: string;
  /** False when there was no such record. */
  edit(edit: SourceEdit): Promise<boolean>;
  set(settings: Readonly<Record<string, number>>): Promise<void>;
  sendWebhooksTo(url: string): Promise<void>;
  drain(): Promise<void>;
  truth(): Promise<Item[]>;
  history(): Promise<History>;
  writes(): Promise<Writes>;
};

/** Starts the source, and speaks with it. */
export async function startSource(
  owner: Owner,
  options: { readonly seed: number; readonly token: string; readonly secret: string },
): Promise<SourceProcess> {
  const { seed, token, secret } = options;
  const started = startNode(owner, programOf(fileOf('torture/source')), {
    TORTURE_TOKEN: token,
    TORTURE_SECRET: secret,
    TORTURE_SEED: String(seed),
  });
  const port = () => /"port":(\d+)/.exec(started.output())?.[1];
  await until('the source listens', () => port() !== undefined);
  const origin = `http://127.0.0.1:${port()}`;
  const ask = async (path: string, body?: unknown): Promise<unknown> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const init = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) };
    const response = await fetch(origin + path, init);
    if (!response.ok) throw new Error(`The source answered ${path} with ${response.status}\n${started.output()}`);
    return await response.json();
  };
  return {
    process: started,
    origin,
    edit: async (edit) => z.object({ done: z.boolean() }).parse(await ask('/_edit', edit)).done,
    set: async (settings) => void (await ask('/_settings', settings)),
    sendWebhooksTo: async (url) => void (await ask('/_webhook', url)),
    drain: async () => void (await ask('/_drain')),
    truth: async () => z.array(itemSchema).parse(await ask('/_truth')),
    history: async () => historySchema.parse(await ask('/_history')),
    writes: async () => writesSchema.parse(await ask('/_writes')),
  };
}
