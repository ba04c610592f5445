import { z } from 'zod';
import { createHostileSource, createRandom, readJson, restDialect, sendAnswer } from '../../../src/testing/index.ts';

/**
 * The source of the torture as a process of its own. Beside its API it has routes for the driver: edits of its own, its
 * settings, what it holds, every value that it ever held, and the writes that it was sent. Prints its port as JSON.
 */
const { TORTURE_TOKEN = '', TORTURE_SECRET = '', TORTURE_SEED = '1' } = process.env;
const seed = Number(TORTURE_SEED);
const random = createRandom(seed, 'ids');

type Draft = {
  readonly id: string;
  readonly ref: string;
  readonly name: string;
  readonly amount: number;
  readonly note: string | null;
  readonly label: string | null;
  readonly client_ref: string | null;
};
type Item = Draft & { readonly updated_at: string };

/** By ref: each state that a record of it ever had. */
const history: Item[] = [];
/** How many records were ever made, by ref. */
const made = new Map<string, number>();

const fields = z.object({
  ref: z.string().min(1),
  name: z.string().trim().default(''),
  amount: z.number().transform(Math.round).default(0),
  note: z.string().nullable().default(null),
  label: z.string().nullable().default(null),
  client_ref: z.string().nullable().default(null),
});
const changes = z.object({
  name: z.string().trim().optional(),
  amount: z.number().transform(Math.round).optional(),
  note: z.string().nullable().optional(),
  label: z.string().nullable().optional(),
});
const editSchema = z.union([
  z.object({ op: z.literal('create'), fields }),
  z.object({ op: z.literal('update'), ref: z.string(), fields: changes }),
  z.object({ op: z.literal('delete'), ref: z.string() }),
]);

const newId = () => `it_${random.text(14)}`;
const without = <T extends object>(given: T) =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

const source = createHostileSource({
  seed,
  token: TORTURE_TOKEN,
  webhookSecret: TORTURE_SECRET,
  tickMs: 100,
  nowMs: Date.now,
  async ownRoutes(request, response, { pathname }) {
    const body = request.method === 'POST' ? await readJson(request, 1_000_000) : null;
    const value: unknown = body?.ok ? body.value : null;
    const answer = (body: unknown) => sendAnswer(response, { status: 200, body });
    if (pathname === '/_edit') answer({ done: edit(editSchema.parse(value)) });
    else if (pathname === '/_settings') {
      source.set(Object(value));
      answer(source.settings());
    } else if (pathname === '/_webhook') {
      source.setWebhookUrl(new URL(z.string().parse(value)));
      answer(true);
    } else if (pathname === '/_drain') {
      await source.drain();
      answer(true);
    } else if (pathname === '/_truth') answer([...all()]);
    else if (pathname === '/_history') answer({ states: history, made: Object.fromEntries(made) });
    else if (pathname === '/_writes') answer({ ...source.writeCounts(), counters: source.counters });
    else return false;
    return true;
  },
});

const ledger = source.add<Item, Draft>(
  {
    name: 'items',
    order: 'time',
    idOf: ({ id }) => id,
    stamp(draft, at, was) {
      const item = { ...draft, updated_at: new Date(at).toISOString() };
      history.push(item);
      if (was === null) made.set(item.ref, (made.get(item.ref) ?? 0) + 1);
      return item;
    },
  },
  (ledger) => {
    const rest = restDialect(ledger, {
      path: '/items',
      writes: {
        create: (body) => parse(fields, body, (given) => ({ ...given, id: newId() })),
        update: (body, item) => parse(changes, body, (given) => ({ ...item, ...without(given) })),
        canDelete: true,
      },
    });
    return (request) => {
      const marker = request.path === '/items' && request.method === 'GET' ? request.query.get('client_ref') : null;
      if (marker === null) return rest(request);
      const data = [...all()].filter((item) => item.client_ref === marker);
      return { kind: 'read', read: () => ({ status: 200, body: { data, has_more: false, next_cursor: null } }) };
    };
  },
);

function parse<T>(schema: z.ZodType<T>, body: unknown, draftOf: (given: T) => Draft) {
  const parsed = schema.safeParse(body);
  if (parsed.success) return { ok: true as const, draft: draftOf(parsed.data) };
  const problems = parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), expected: message }));
  return { ok: false as const, problems };
}

function* all(): Iterable<Item> {
  for (let place = 0; place < ledger.records.size(); place++) {
    const id = ledger.records.idAt(place);
    const entry = id === undefined ? undefined : ledger.records.get(id);
    if (entry !== undefined) yield entry.record;
  }
}

function edit(wanted: z.infer<typeof editSchema>): boolean {
  if (wanted.op === 'create') {
    ledger.prepareCreate({ ...wanted.fields, id: newId() })();
    return true;
  }
  const id = [...all()].find(({ ref }) => ref === wanted.ref)?.id;
  if (id === undefined) return false;
  if (wanted.op === 'delete') return ledger.remove(id);
  const commit = ledger.prepareUpdate(id, (item) => ({ ...item, ...without(wanted.fields) }));
  commit?.();
  return commit !== null;
}

process.on('disconnect', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ port: await source.start(0) })}\n`);
