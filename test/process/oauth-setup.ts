import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { Db } from '../../src/db/connect.ts';
import { createAccessGuard } from '../../src/http/access.ts';
import { oauthRoutes } from '../../src/http/oauth.ts';
import { createServer } from '../../src/http/server.ts';
import { createSealer, readKeys } from '../../src/lib/seal.ts';
import type { AuthDefinition } from '../../src/source/auth/auth.ts';
import { prepareAuthorization } from '../../src/source/auth/oauth2-authorization.ts';
import { createTokenStore } from '../../src/sync/token-store.ts';
import type { Order, Report } from './token-worker.ts';

const here = fileURLToPath(import.meta.url);
const isSourceRun = here.endsWith('.ts');
const program = (name: string) => join(dirname(here), `${name}.${isSourceRun ? 'ts' : 'js'}`);
const FLAGS = isSourceRun ? ['--conditions=syncline-source', '--import', 'tsx'] : ['--conditions=syncline-compiled'];
const MAX_HOPS = 20;

export const HOST = '127.0.0.1:3000';
export const CLIENT_SECRET = 'CANARY-client-secret-of-the-test';
export const SIGNING_SECRET = 'CANARY-signing-secret-of-the-test';

/** A real authorization server in its own process, its clock off by `skewMs`. */
export async function startOidc(t: Test, { skewMs = 0 } = {}) {
  const child = spawn(process.execPath, [...FLAGS, program('oidc-server')], {
    env: {
      PATH: process.env.PATH ?? '',
      SKEW_MS: String(skewMs),
      CLIENT_SECRET,
      SIGNING_SECRET,
      REDIRECT_URI: `http://${HOST}/oauth/crm/callback`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  const origin = await new Promise<string>((resolve, reject) => {
    const read = (text: string) => {
      output += text;
      const found = /listening (\S+)/.exec(output)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', read);
    child.once('close', () => reject(new Error(output)));
  });
  const counts = async (): Promise<Readonly<Record<string, number>>> =>
    JSON.parse(await (await fetch(`${origin}/test/counts`)).text());
  /** What the source's API answers to a request with this header. */
  const call = async (authorization: string): Promise<number> =>
    (await fetch(`${origin}/test/orders`, { headers: { authorization } })).status;
  return { origin, counts, call };
}

export type TokenProcess = {
  order(order: Order): Promise<Report>;
  /** Resolves with the signal that ended it. */
  readonly ended: Promise<NodeJS.Signals | null>;
};

export async function startTokenProcess(
  t: Test,
  options: { url: string; key: string; auth: AuthDefinition; skewMs?: number; crash?: 'before-save' | 'after-save' },
): Promise<TokenProcess> {
  const child = fork(program('token-worker'), {
    execArgv: FLAGS,
    env: {
      PATH: process.env.PATH ?? '',
      DATABASE_URL: options.url,
      KEY: options.key,
      AUTH: JSON.stringify(options.auth),
      SKEW_MS: String(options.skewMs ?? 0),
      CRASH: options.crash ?? '',
    },
  });
  const ended = once(child, 'exit').then(([, signal]) => signal);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const next = async (): Promise<Report> => {
    const message = await Promise.race([once(child, 'message').then(([report]) => report), ended.then(() => null)]);
    if (message === null) throw new Error('The process ended');
    return message;
  };
  await next();
  return {
    ended,
    order(order) {
      const reported = next();
      child.send(order);
      return reported;
    },
  };
}

/** The routes on this database, as the server has them, and what they log. */
export async function startRoutes(t: Test, { db, key, auth }: { db: Db; key: string; auth: AuthDefinition }) {
  const keys = readKeys(key);
  const authorization = prepareAuthorization({ baseUrl: 'http://127.0.0.1:9', auth }, {}, Date.now);
  if (!keys.ok || authorization === null) throw new Error('It takes no authorization');
  const logged: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  const app = createServer(log);
  const sealer = createSealer(keys.keys);
  const tokens = createTokenStore({ db, sealer });
  await app.register(oauthRoutes, {
    guard: createAccessGuard(null),
    publicUrl: null,
    stopping: new AbortController().signal,
    authorize: {
      db,
      sealer,
      tokens,
      log,
      authorizations: new Map([['crm', authorization]]),
      onAuthorized: async () => {},
    },
  });
  t.teardown(() => app.close());
  const get = (path: string, cookie = '') => app.inject({ method: 'GET', url: path, headers: { host: HOST, cookie } });

  /** A person goes through the whole of it. */
  async function authorize() {
    const started = await get('/oauth/crm/start');
    const cookie = String(started.headers['set-cookie']).split(';')[0] ?? '';
    const back = await browse(String(started.headers.location), `http://${HOST}/`);
    return get(back.slice(`http://${HOST}`.length), cookie);
  }
  return { authorize, logged, tokens };
}

/** A browser that logs in and agrees to everything. @returns the first address that begins with `until` */
async function browse(from: string, until: string): Promise<string> {
  const jar = new Map<string, string>();
  let url = from;
  let form: URLSearchParams | null = null;
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    if (url.startsWith(until)) return url;
    const response: Response = await fetch(url, {
      method: form === null ? 'GET' : 'POST',
      body: form,
      redirect: 'manual',
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') jar.delete(name);
      else jar.set(name, value);
    }
    const location = response.headers.get('location');
    const page = await response.text();
    form = null;
    if (location !== null) {
      url = new URL(location, url).href;
      continue;
    }
    const action = /action="([^"]+)"/.exec(page)?.[1];
    const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
    if (action === undefined || prompt === undefined)
      throw new Error(`No form: ${response.status} ${page.slice(0, 2_000)}`);
    url = new URL(action, url).href;
    form = new URLSearchParams({ prompt, login: 'somebody', password: 'anything' });
  }
  throw new Error('The browser came to no end');
}
