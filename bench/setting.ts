import { type Child, type ChildOptions, startChild } from './children.ts';
import type { Place } from './places.ts';
import type { Report } from './report.ts';

/** What every measurement is given. */
export type Setting = {
  readonly report: Report;
  /** Repetitions of what is repeated; the median is told. */
  readonly repeats: number;
  /** Makes everything smaller. */
  readonly isQuick: boolean;
  /** Records of the large reconcile. */
  readonly records: number;
  readonly profileDir: string | undefined;
};

const IDLE_POLL_MS = 25;
const EMBEDDED_POLL_MS = 250;
const MAX_IDLE_POLLS = 6000;

/** Starts the real server on a place's database. Its rate limit is out of the way; no schedule runs. */
export function startServerChild(
  setting: Setting,
  place: Place,
  roles: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Child> {
  const options: ChildOptions = {
    profileDir: setting.profileDir,
    environment: {
      ...place.environment,
      ...environment,
      PORT: '0',
      HOST: '127.0.0.1',
      LOG_LEVEL: 'warn',
      SYNCLINE_CONFIG: 'syncline.config.ts',
      SYNCLINE_ROLE: roles,
      SYNCLINE_WEBHOOKS_PER_MINUTE: '1000000000',
    },
  };
  return startChild('server-process.ts', options);
}

/** Waits until no delivery waits. The embedded database can only be asked through its server, whose status counts them all. */
export async function waitUntilApplied(server: Child, place: Place): Promise<void> {
  for (let poll = 0; poll < MAX_IDLE_POLLS; poll++) {
    if (!(await isWaiting(server, place))) return;
    await new Promise((resolve) => setTimeout(resolve, place.kind === 'postgres' ? IDLE_POLL_MS : EMBEDDED_POLL_MS));
  }
  throw new Error('the inbox did not empty in time');
}

async function isWaiting(server: Child, place: Place): Promise<boolean> {
  if (place.kind === 'postgres')
    return (await place.query(`SELECT 1 FROM sync.inbox_deliveries WHERE state = 'received' LIMIT 1`)).length > 0;
  const response = await fetch(`${server.address}/status/bench`);
  const status: unknown = await response.json();
  return Reflect.get(Object(Reflect.get(Object(status), 'inbox')), 'waiting') !== 0;
}

/** The first row's columns as numbers. */
export async function readNumbers(place: Place, text: string): Promise<Record<string, number>> {
  const [row] = await place.query(text);
  return Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name, Number(value)]));
}

export type ServerLoad = {
  /** Processor time so far, all threads together: what is left of a figure when other programs take the cores. */
  readonly cpuMs: number;
  /** Since the last time it was asked. */
  readonly loopDelayP99Ms: number;
};

/** How busy a server was. */
export async function readLoad(server: Child): Promise<ServerLoad> {
  const answer = await server.ask('load');
  return {
    cpuMs: Number(Reflect.get(Object(answer), 'cpuMs')),
    loopDelayP99Ms: Number(Reflect.get(Object(answer), 'loopDelayP99Ms')),
  };
}
