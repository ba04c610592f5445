import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createOauthServer, type OauthAnswer, type OauthServer } from './oauth-server.ts';

/** One contact as the simulated CRM holds it. */
export type Contact = {
  readonly id: string;
  readonly email: string | null;
  readonly full_name: string;
  readonly company: string | null;
  readonly subscribed: boolean;
  readonly updated_at: string;
};

export type Crm = {
  readonly server: Server;
  readonly oauth: OauthServer;
  /** By id. What stands here is what the CRM knows. */
  readonly contacts: Map<string, Contact>;
  /** Creates `count` contacts. */
  seed(count: number): void;
  rename(id: string, fullName: string): void;
};

const MAX_PAGE = 100;
const MAX_BODY_BYTES = 100_000;

/** A CRM in memory whose API takes OAuth access tokens only: contacts by offset and limit, in the order of creation. */
export function createCrm(options: { clientId: string; clientSecret: string; lifetimeS: number }): Crm {
  const contacts = new Map<string, Contact>();
  const oauth = createOauthServer(options);

  const answerApi = (request: IncomingMessage, response: ServerResponse, url: URL): void => {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    if (!oauth.isValid(token)) send(response, 401, { error: 'invalid_token' });
    else if (url.pathname === '/contacts') send(response, 200, list(url));
    else {
      const id = decodeURIComponent(url.pathname.slice('/contacts/'.length));
      const contact = url.pathname.startsWith('/contacts/') ? contacts.get(id) : undefined;
      send(response, contact === undefined ? 404 : 200, contact ?? { error: 'not_found' });
    }
  };

  const list = (url: URL) => {
    const since = url.searchParams.get('updated_since') ?? '';
    const due = [...contacts.values()].filter(({ updated_at }) => updated_at >= since);
    const offset = Number(url.searchParams.get('offset') ?? 0);
    const limit = Math.min(MAX_PAGE, Number(url.searchParams.get('limit') ?? MAX_PAGE));
    return { contacts: due.slice(offset, offset + limit), total: due.length };
  };

  const answerOauth = async (request: IncomingMessage, url: URL): Promise<OauthAnswer> => {
    if (request.method === 'GET' && url.pathname === '/oauth/authorize') return oauth.ask(url.searchParams);
    const form = request.method === 'POST' ? await readForm(request) : null;
    if (form !== null && url.pathname === '/oauth/authorize') return oauth.allow(form);
    if (form !== null && url.pathname === '/oauth/token') return oauth.token(form, request.headers.authorization);
    return { kind: 'json', status: 400, body: { error: 'invalid_request' } };
  };

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://crm');
    if (url.pathname.startsWith('/oauth/')) sendOauth(response, await answerOauth(request, url));
    else answerApi(request, response, url);
  });

  return {
    server,
    oauth,
    contacts,
    seed(count) {
      for (let made = 0; made < count; made++) {
        const number = contacts.size + 1;
        const id = `con_${String(number).padStart(6, '0')}`;
        contacts.set(id, {
          id,
          email: number % 10 === 0 ? null : `person${number}@example.com`,
          full_name: `Person ${number}`,
          company: number % 4 === 0 ? null : `Company ${number % 50}`,
          subscribed: number % 2 === 0,
          updated_at: new Date(Date.now() - (count - made) * 1_000).toISOString(),
        });
      }
    },
    rename(id, fullName) {
      const contact = contacts.get(id);
      if (contact !== undefined)
        contacts.set(id, { ...contact, full_name: fullName, updated_at: new Date().toISOString() });
    },
  };
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams | null> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) return null;
  }
  return new URLSearchParams(text);
}

function sendOauth(response: ServerResponse, answer: OauthAnswer): void {
  if (answer.kind === 'json') send(response, answer.status, answer.body);
  else if (answer.kind === 'page') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end(answer.html);
  } else {
    response.writeHead(302, { location: answer.location });
    response.end();
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}
