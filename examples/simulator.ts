import { once } from 'node:events';
import type { Server } from 'node:http';
import { createCrm } from './crm/simulator.ts';
import { createTracker } from './tracker/simulator.ts';

/**
 * Starts one of the simulated sources for the integration of the same name, and shows the environment that makes the
 * integration use it: `npm run simulator -- crm`, `npm run simulator -- tracker`. Records change every few seconds.
 */
const RECORDS = 250;
const CHANGE_MS = 2_000;
const CRM_PORT = 4010;
const TRACKER_PORT = 4020;
/** Nothing but this machine reaches the simulators, and they hold nothing but made-up records. */
const MADE_UP = 'made-up-for-the-simulator';

type Simulation = { readonly server: Server; readonly port: number; readonly environment: Record<string, string> };

const name = process.argv[2];
if (name === 'crm') await run(startCrm());
else if (name === 'tracker') await run(startTracker());
else {
  process.stderr.write('Expected the name of a simulator: crm or tracker\n');
  process.exitCode = 1;
}

function startCrm(): Simulation {
  const crm = createCrm({ clientId: 'syncline', clientSecret: MADE_UP, lifetimeS: 120 });
  crm.seed(RECORDS);
  everySoOften((round) => crm.rename(idOf(crm.contacts, round), `Person, renamed ${round} times`));
  const url = `http://127.0.0.1:${CRM_PORT}`;
  return {
    server: crm.server,
    port: CRM_PORT,
    environment: {
      CRM_API_URL: url,
      CRM_AUTHORIZE_URL: `${url}/oauth/authorize`,
      CRM_TOKEN_URL: `${url}/oauth/token`,
      CRM_CLIENT_ID: 'syncline',
      CRM_CLIENT_SECRET: MADE_UP,
    },
  };
}

function startTracker(): Simulation {
  const tracker = createTracker(MADE_UP);
  tracker.seed(RECORDS);
  everySoOften((round) => tracker.rename(idOf(tracker.issues, round), `Issue, renamed ${round} times`));
  return {
    server: tracker.server,
    port: TRACKER_PORT,
    environment: { TRACKER_API_URL: `http://127.0.0.1:${TRACKER_PORT}`, TRACKER_API_KEY: MADE_UP },
  };
}

const idOf = (records: ReadonlyMap<string, unknown>, round: number): string =>
  [...records.keys()][round % records.size] ?? '';

function everySoOften(change: (round: number) => void): void {
  let round = 0;
  setInterval(() => {
    round += 1;
    change(round);
  }, CHANGE_MS).unref();
}

async function run({ server, port, environment }: Simulation): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const lines = Object.entries(environment).map(([variable, value]) => `export ${variable}=${value}`);
  process.stdout.write(
    `The simulated ${name} listens on http://127.0.0.1:${port}. In another terminal:\n\n${lines.join('\n')}\n`,
  );
  process.once('SIGINT', () => server.close());
  process.once('SIGTERM', () => server.close());
}
