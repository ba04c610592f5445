import { join } from 'node:path';
import { test } from 'tap';
import { StartError } from '../src/config/start-error.ts';
import { packageRoot } from '../src/lib/package-root.ts';
import { startServer } from '../src/server.ts';

const CRM = {
  PORT: '0',
  SYNCLINE_DATA_DIR: 'memory://',
  SYNCLINE_CONFIG: join(packageRoot(), 'examples', 'crm', 'syncline.config.ts'),
  CRM_API_URL: 'http://127.0.0.1:9',
  CRM_AUTHORIZE_URL: 'http://127.0.0.1:9/authorize',
  CRM_TOKEN_URL: 'http://127.0.0.1:9/token',
  CRM_CLIENT_ID: 'client',
  CRM_CLIENT_SECRET: 'secret',
};

async function problemsOf(environment: Record<string, string>) {
  try {
    const server = await startServer({ environment, workingFolder: process.cwd() });
    await server.stop();
  } catch (error) {
    if (error instanceof StartError) return error.problems;
    throw error;
  }
  return [];
}

test('what a person authorizes does not start without a key to seal its tokens with', async (t) => {
  for (const more of [{}, { SYNCLINE_ENCRYPTION_KEY: '' }]) {
    const [problem, ...others] = await problemsOf({ ...CRM, ...more });
    t.same(others, []);
    t.equal(problem?.path, 'SYNCLINE_ENCRYPTION_KEY');
    t.match(problem?.problem, /crm.*openssl rand -base64 32/);
  }
});

test('a key that is none stops the start, and is reported once and not shown', async (t) => {
  const problems = await problemsOf({ ...CRM, SYNCLINE_ENCRYPTION_KEY: 'CANARY' });
  t.same(
    problems.map(({ path }) => path),
    ['SYNCLINE_ENCRYPTION_KEY'],
  );
  t.notMatch(JSON.stringify(problems), /CANARY/);
});

test('edits of two-way tables are captured from the start on, and no others', async (t) => {
  const server = await startServer({
    environment: {
      PORT: '0',
      HOST: '127.0.0.1',
      LOG_LEVEL: 'silent',
      SYNCLINE_DATA_DIR: 'memory://',
      SYNCLINE_ROLE: 'ingest',
      SYNCLINE_CONFIG: join(packageRoot(), 'examples', 'shop', 'syncline.config.ts'),
      SHOP_API_URL: 'http://127.0.0.1:9',
      SHOP_API_TOKEN: 'token',
      SHOP_WEBHOOK_SECRET: 'whsec_c2VjcmV0LW9mLWEtdGVzdC1vZi10aGUtc2VydmVy',
    },
    workingFolder: process.cwd(),
  });
  t.teardown(() => server.stop());
  const { rows } = Object(
    await server.database.db.execute(
      `SELECT DISTINCT tgrelid::regclass::text AS name FROM pg_trigger WHERE tgname LIKE 'syncline%'`,
    ),
  );
  t.same(rows, [{ name: 'shop_customers' }]);
});
