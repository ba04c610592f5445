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

const IDLE_POLL_MS = 50;
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

/** Asks the server itself until no delivery waits. */
export async function waitUntilApplied(server: Child): Promise<void> {
  for (let poll = 0; poll < MAX_IDLE_POLLS; poll++) {
    const response = await fetch(`${server.address}/status/bench`);
    const status: unknown = await response.json();
    const waiting: unknown = Reflect.get(Object(Reflect.get(Object(status), 'inbox')), 'waiting');
    if (waiting === 0) return;
    await new Promise((resolve) => setTimeout(resolve, IDLE_POLL_MS));
  }
  throw new Error('the inbox did not empty in time');
}

/** The first row's columns as numbers. */
export async function readNumbers(place: Place, text: string): Promise<Record<string, number>> {
  const [row] = await place.query(text);
  return Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name, Number(value)]));
}

/** Processor time that a server has used, all its threads together: what is left of a figure when other programs take the cores. */
export async function readCpuMs(server: Child): Promise<number> {
  return Number(Reflect.get(Object(await server.ask('loop-delay')), 'cpuMs'));
}
