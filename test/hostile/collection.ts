import { answers } from './answers.ts';
import { connections } from './connections.ts';
import { masses } from './masses.ts';
import { echo, type Misbehaviour, type Strike, sendJson, sendText } from './strike.ts';

/** Per page of the list. */
const PAGE_SIZE = 50;
const STEP_MS = 1_000;
const MAX_HEARD = 1_000;
const FIRST_MS = Date.UTC(2026, 0, 1);

type Customer = {
  readonly id: string;
  readonly email: string;
  readonly amount_cents: number;
  readonly updated_at: string;
};

const raw =
  (table: Readonly<Record<string, Misbehaviour>>, path: string): Misbehaviour =>
  (strike) =>
    table[path]?.(strike);

const busy =
  (status: number, wait: string): Misbehaviour =>
  (strike) =>
    sendText(strike, status, echo(strike), { 'retry-after': wait });

const DEEP = 100_000;
const good = (id: string, more: string): string =>
  `{"id":"${id}","email":"${id}@example.com","amount_cents":7,"updated_at":"2026-01-01T00:00:00.000Z"${more}}`;

/** Items of a page as no honest source has them, between two that are fine. None of the others has a readable record but `odd-`. */
const POISON = [
  good('good-1', ''),
  'null',
  '1',
  '"text"',
  '[]',
  '{}',
  '{"id":null}',
  '{"id":{"$gt":""}}',
  '{"id":""}',
  '{"id":"bad-1","email":7,"amount_cents":"much","updated_at":"never"}',
  `{"id":"bad-2","email":${'['.repeat(DEEP)}${']'.repeat(DEEP)},"amount_cents":7,"updated_at":"2026-01-01T00:00:00Z"}`,
  '{"id":"bad-3","email":"x","amount_cents":1e999,"updated_at":"2026-01-01T00:00:00Z"}',
  good('odd-1', ',"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}'),
  good('odd-2', `,"more":${'{"a":'.repeat(DEEP)}1${'}'.repeat(DEEP)}`),
  good('odd-3', ',"id":"odd-3"'),
  good('good-2', ''),
];

/** What strikes by chance, and passes when it is tried again. */
const FAULTS: readonly Misbehaviour[] = [
  (strike) => sendText(strike, 500, echo(strike)),
  busy(503, '0'),
  busy(429, '0'),
  busy(429, '0.2'),
  busy(503, '-5'),
  raw(connections, '/reset/before'),
  raw(connections, '/reset/in-headers'),
  raw(connections, '/reset/in-body'),
  raw(connections, '/closed/before'),
  raw(connections, '/closed/in-body'),
  raw(connections, '/silent'),
  raw(connections, '/slow/body'),
  raw(connections, '/json/cut-in-whole-answer'),
  raw(connections, '/length/too-long'),
  raw(connections, '/chunks/garbage'),
  raw(connections, '/garbage/echo'),
  raw(connections, '/early/switching'),
  raw(answers, '/encoding/gzip-cut'),
];

/** What nothing but a person, or the next run, gets past. */
const TERMINAL_FAULTS: readonly Misbehaviour[] = [
  raw(answers, '/errors/ok-false'),
  raw(answers, '/type/html-says-json'),
  raw(answers, '/empty/200'),
  raw(answers, '/empty/204'),
  raw(masses, '/huge/announced'),
  raw(masses, '/huge/chunked'),
];

/**
 * Customers with a list in pages by cursor, and reads by id. Commands (`/control/…`): `fill?count=`, `change?count=`,
 * `remove?count=`, `records`, `faults?share=&terminal=` (shares of all answers, drawn from the seed), `mode?is=` (a path
 * that every answer follows from then on; nothing for none), `down?from=&is=` (the same as soon as that cursor is asked
 * for), `told` (answers given, by kind, and the cursors asked for), `poison` (the one page
 * of the list is odd from now on), `heard` (the latest requests, with all
 * that came with them).
 */
export function createCollection(seed: number) {
  const random = createRandom(seed);
  const records = new Map<string, Customer>();
  const told = { fine: 0, faults: 0, terminal: 0, mode: 0 };
  /** The cursors that the list was asked for, `''` for the first page. */
  const cursors: string[] = [];
  const heard: string[] = [];
  let shares = { faults: 0, terminal: 0 };
  let mode = '';
  let down: { readonly from: string; readonly mode: string } | null = null;
  let ticks = 0;
  let isPoisoned = false;

  const put = (id: string) => {
    const tick = ++ticks;
    records.set(id, {
      id,
      email: `${id}.${tick}@example.com`,
      amount_cents: tick,
      updated_at: new Date(FIRST_MS + tick * STEP_MS).toISOString(),
    });
  };
  const some = (count: number) => {
    const ids = [...records.keys()];
    return Array.from({ length: count }, () => ids[Math.floor(random() * ids.length)] ?? '');
  };

  const commands: Readonly<Record<string, (query: URLSearchParams) => unknown>> = {
    '/control/fill': (query) => {
      for (let n = 0; n < Number(query.get('count')); n++) put(`c${String(records.size).padStart(6, '0')}`);
      return records.size;
    },
    '/control/change': (query) => {
      const ids = new Set(some(Number(query.get('count'))));
      for (const id of ids) put(id);
      return ids.size;
    },
    '/control/remove': (query) => {
      const ids = new Set(some(Number(query.get('count'))));
      for (const id of ids) records.delete(id);
      return ids.size;
    },
    '/control/records': () => [...records.values()],
    '/control/faults': (query) => {
      shares = { faults: Number(query.get('share') ?? 0), terminal: Number(query.get('terminal') ?? 0) };
      return shares;
    },
    '/control/mode': (query) => {
      mode = query.get('is') ?? '';
      return mode;
    },
    '/control/down': (query) => {
      down = { from: query.get('from') ?? '', mode: query.get('is') ?? '' };
      return down;
    },
    '/control/poison': () => {
      isPoisoned = true;
      return POISON.length;
    },
    '/control/heard': () => heard,
    '/control/told': () => ({ ...told, cursors }),
  };

  const answer: Misbehaviour = (strike) => {
    const { url } = strike;
    if (url.pathname !== '/customers') {
      const found = records.get(url.pathname.slice('/customers/'.length));
      return found === undefined ? sendText(strike, 404, '{}') : sendJson(strike, found);
    }
    if (isPoisoned) return sendText(strike, 200, `{"data":[${POISON.join(',')}],"next_cursor":null}`);
    const after = url.searchParams.get('starting_after') ?? '';
    const since = url.searchParams.get('updated_since') ?? '';
    const rest = [...records.values()].filter(({ id, updated_at }) => id > after && updated_at >= since);
    const page = rest.sort((left, right) => (left.id < right.id ? -1 : 1)).slice(0, PAGE_SIZE);
    sendJson(strike, { data: page, next_cursor: rest.length > PAGE_SIZE ? page.at(-1)?.id : null });
  };

  const choose = (): Misbehaviour => {
    const drawn = random();
    if (drawn < shares.terminal) {
      told.terminal += 1;
      return pick(TERMINAL_FAULTS, random);
    }
    if (drawn < shares.terminal + shares.faults) {
      told.faults += 1;
      return pick(FAULTS, random);
    }
    told.fine += 1;
    return answer;
  };

  return {
    /** Undefined for a command that there is not. */
    command: (url: URL): unknown => commands[url.pathname]?.(url.searchParams),
    /** Null for a path that the collection does not have. */
    answer(strike: Pick<Strike, 'url' | 'request'>): Misbehaviour | null {
      const { url } = strike;
      if (!url.pathname.startsWith('/customers')) return null;
      if (heard.push(echo(strike)) > MAX_HEARD) heard.shift();
      if (url.pathname === '/customers') {
        const cursor = url.searchParams.get('starting_after') ?? '';
        cursors.push(cursor);
        if (cursor === down?.from) {
          mode = down.mode;
          down = null;
        }
      }
      if (mode === '') return choose();
      told.mode += 1;
      const [path = '', query = ''] = mode.split('?');
      const followed = { ...answers, ...connections, ...masses }[path];
      if (followed === undefined) return null;
      return (strike) => followed({ ...strike, url: new URL(`?${query}`, strike.own), index: 0 });
    },
  };
}

const pick = (from: readonly Misbehaviour[], random: () => number): Misbehaviour => {
  const chosen = from[Math.floor(random() * from.length)];
  if (chosen === undefined) throw new RangeError('random is not below 1');
  return chosen;
};

/** Even over [0, 1), the same for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
