import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

// A real authorization server, as a process: `SKEW_MS` sets its clock off, `REDIRECT_URI` is where it sends browsers back.

const skewMs = Number(process.env.SKEW_MS ?? 0);
const realNow = Date.now;
Date.now = () => realNow() + skewMs;

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const LIFE_S = 3_600;

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'app',
        client_secret: process.env.CLIENT_SECRET,
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
        redirect_uris: [process.env.REDIRECT_URI],
        response_types: ['code'],
      },
      {
        client_id: 'signer',
        grant_types: [JWT_BEARER],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'none',
      },
    ],
    scopes: ['openid', 'offline_access', 'orders'],
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: true } },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    ttl: {
      AccessToken: LIFE_S,
      ClientCredentials: LIFE_S,
      RefreshToken: 86_400,
      Grant: 86_400,
      Session: 86_400,
      Interaction: 3_600,
    },
    cookies: { keys: ['of the test'] },
    findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  provider.registerGrantType(
    JWT_BEARER,
    async (context) => {
      const key = new TextEncoder().encode(process.env.SIGNING_SECRET);
      const verified = await jwtVerify(context.oidc.params.assertion ?? '', key, {
        audience: `${issuer}/token`,
        issuer: 'signer',
        currentDate: new Date(Date.now()),
        clockTolerance: 180,
      }).catch(() => null);
      if (verified === null) throw new errors.InvalidGrant('the assertion is not good');
      const token = new provider.ClientCredentials({ client: context.oidc.client });
      const access_token = await token.save();
      context.body = { access_token, expires_in: token.expiration, token_type: 'Bearer' };
    },
    ['assertion'],
  );
  const counts = new Map<string, number>();
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
  provider.on('grant.success', ({ oidc }) => count(String(oidc.params.grant_type)));
  provider.on('grant.error', ({ oidc }) => count(`refused ${oidc.params?.grant_type}`));
  provider.on('server_error', (_context, error) => console.error(error));
  const answer = provider.callback();

  server.on('request', async (request, response) => {
    if (request.url === '/test/counts') {
      response.end(JSON.stringify(Object.fromEntries(counts)));
      return;
    }
    if (request.url?.startsWith('/test/orders')) {
      const value = (request.headers.authorization ?? '').slice('Bearer '.length);
      const token = (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value));
      count('orders');
      response.writeHead(token?.isValid ? 200 : 401, { 'content-type': 'application/json' });
      response.end('[]');
      return;
    }
    answer(request, response);
  });
  process.stdout.write(`listening ${issuer}\n`);
});
