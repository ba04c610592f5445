import { setTimeout as wait } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Write } from './api-process.ts';
import { type Child, startChild } from './children.ts';
import type { Place } from './places.ts';
import { ENTITY, INTEGRATION, recordId } from './records.ts';
import { atMost, median } from './report.ts';
import { readLoad, readNumbers, type Setting, startServerChild } from './setting.ts';

const RECORDS = 2_000;
const SINGLE_EDITS = 200;
/** Between two single edits: none finds the way out busy with the one before. */
const MIN_PAUSE_MS = 50;
const MAX_PAUSE_MS = 350;
/** As many requests side by side as the server's pushes of one integration. */
const BARE_CONNECTIONS = 16;
const POLL_MS = 25;
const MAX_POLLS = 12_000;
const UPDATE_ALL = `UPDATE bench_customers SET name = name || '.'`;

type Pushes = { readonly setting: Setting; readonly place: Place; readonly api: Child; readonly server: Child };

/** From a user's statement to the source: one edit at a time, and as many as go, against the same PATCH requests sent bare. */
export async function measurePushes(setting: Setting, place: Place): Promise<void> {
  const api = await startChild('api-process.ts', { arguments: [String(RECORDS)] });
  const environment = { BENCH_API_URL: api.address, BENCH_PAGE_SIZE: '1000', BENCH_WRITE: 'on' };
  const server = await startServerChild(setting, place, 'all', environment);
  const pushes = { setting, place, api, server };
  try {
    await fill(pushes);
    // The first edit of each record reads it, to learn its tag; this is not what is measured.
    await pushAll(pushes);
    await measureRate(pushes);
    await measureLatency(pushes);
  } finally {
    await server.stop();
    await api.stop();
  }
}

async function fill({ place, server }: Pushes): Promise<void> {
  await fetch(`${server.address}/sync/reconcile`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ integration: INTEGRATION, entity: ENTITY, mode: 'full' }),
  });
  await until('the first fill', async () => {
    const { rows } = await readNumbers(place, 'SELECT count(*) AS rows FROM bench_customers');
    return rows === RECORDS;
  });
}

/** Edits every row by one statement. @returns the seconds until the source has all and every push is settled. */
async function pushAll({ place, api }: Pushes): Promise<number> {
  await takeWrites(api);
  const startedAt = performance.now();
  await place.query(UPDATE_ALL);
  await until('every edit is settled', async () => {
    const { open } = await readNumbers(
      place,
      `SELECT (SELECT count(*) FROM sync.local_changes) + (SELECT count(*) FROM sync.outbox_pushes WHERE state <> 'done') AS open`,
    );
    return open === 0;
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const writes = await takeWrites(api);
  if (writes.length !== RECORDS) throw new Error(`${RECORDS} edits came to ${writes.length} writes`);
  return seconds;
}

async function measureRate(pushes: Pushes): Promise<void> {
  const { setting, server } = pushes;
  // Another source for the bare ones, as large: they would move the tags that the server knows.
  const twin = await startChild('api-process.ts', { arguments: [String(RECORDS)] });
  const group = `Pushes of ${RECORDS.toLocaleString('en-US')} rows edited by one statement, ${pushes.place.kind}`;
  const rounds: { pushed: number; bare: number }[] = [];
  let cpuMs = 0;
  for (let repeat = 0; repeat < setting.repeats; repeat++) {
    const bare = await sendBare(twin);
    const before = await readLoad(server);
    const pushed = await pushAll(pushes);
    cpuMs += (await readLoad(server)).cpuMs - before.cpuMs;
    rounds.push({ pushed: RECORDS / pushed, bare: RECORDS / bare });
  }
  await twin.stop();
  const { report } = setting;
  report.add(group, 'edit to settled', median(rounds.map(({ pushed }) => pushed)), '/s');
  report.add(group, `bare PATCH, ${BARE_CONNECTIONS} at a time`, median(rounds.map(({ bare }) => bare)), '/s');
  report.add(group, 'share of the bare requests', median(rounds.map(({ pushed, bare }) => pushed / bare)), '');
  report.add(group, 'processor time of the server per push', (1000 * cpuMs) / (RECORDS * rounds.length), 'µs');
}

/** The requests that pushes are, without anything around them. @returns seconds. */
async function sendBare(api: Child): Promise<number> {
  const dispatcher = new Agent({ connections: BARE_CONNECTIONS });
  const startedAt = performance.now();
  let next = 0;
  const send = async () => {
    for (let id = next++; id < RECORDS; id = next++) {
      const path = `${api.address}/customers/${recordId(id)}`;
      const { body } = await request(path, { dispatcher, method: 'PATCH', body: '{"phone":"+49 30 1"}' });
      await body.json();
    }
  };
  await Promise.all(Array.from({ length: BARE_CONNECTIONS }, send));
  const seconds = (performance.now() - startedAt) / 1000;
  await dispatcher.close();
  return seconds;
}

async function measureLatency({ setting, place, api }: Pushes): Promise<void> {
  const group = `One edit by SQL, then the next, ${place.kind}`;
  const count = setting.isQuick ? SINGLE_EDITS / 4 : SINGLE_EDITS;
  const delays: number[] = [];
  await takeWrites(api);
  for (let edit = 0; edit < count; edit++) {
    const id = recordId(edit);
    const committedMs = await editOne(place, id);
    let write: Write | undefined;
    await until('the source has it', async () => {
      write = (await takeWrites(api)).find((one) => one.id === id);
      return write !== undefined;
    });
    delays.push((write?.atMs ?? Number.NaN) - committedMs);
    await wait(MIN_PAUSE_MS + Math.random() * (MAX_PAUSE_MS - MIN_PAUSE_MS));
  }
  const sorted = delays.sort((left, right) => left - right);
  const { report } = setting;
  report.add(group, 'commit to the source, p50', median(sorted), 'ms', atMost(1_000));
  report.add(group, 'commit to the source, p99', sorted[Math.ceil(0.99 * count) - 1] ?? Number.NaN, 'ms');
}

async function editOne(place: Place, id: string): Promise<number> {
  await place.query(`UPDATE bench_customers SET description = description || '.' WHERE external_id = '${id}'`);
  return Date.now();
}

const takeWrites = async (api: Child): Promise<Write[]> => (await api.ask('writes')) as Write[];

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let poll = 0; poll < MAX_POLLS; poll++) {
    if (await isTrue()) return;
    await wait(POLL_MS);
  }
  throw new Error(`it did not come to pass in time: ${what}`);
}
