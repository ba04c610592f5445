import { inspect } from 'node:util';
import { test } from 'tap';
import { secret } from '../../src/lib/setting.ts';
import { apiKey } from '../../src/source/auth/api-key.ts';
import { bearer } from '../../src/source/auth/bearer.ts';
import type { SourceDefinition } from '../../src/source/definition.ts';
import { SourceError } from '../../src/source/error.ts';
import { linkHeader } from '../../src/source/pagination/link-header.ts';
import { type Answerer, sendJson, sendText } from '../helpers/fake-api.ts';
import { never, plainList, readAll, setup } from './setup.ts';

const CANARY = 'CANARY-5f3a';

const everyCredential: readonly Partial<SourceDefinition>[] = [
  { auth: bearer({ token: secret('TOKEN') }) },
  { auth: apiKey({ header: 'x-api-key', value: secret('TOKEN'), prefix: 'Token ' }) },
  { auth: apiKey({ query: 'key', value: secret('TOKEN') }) },
  { headers: { 'x-secret': secret('TOKEN') } },
];

/** Answers that repeat what they were sent, in every place that a message could be made from. */
const everyFailure: Readonly<Record<string, Answerer>> = {
  unauthorized: (response) => sendText(response, 401, CANARY, { 'www-authenticate': CANARY }),
  rate_limited: (response) => sendText(response, 429, CANARY, { 'retry-after': CANARY }),
  server_error: (response) => sendText(response, 500, CANARY),
  invalid_response: (response) => sendText(response, 200, `"${CANARY}`, { 'content-type': CANARY }),
  foreign_link: (response) => sendJson(response, [], { link: `<https://${CANARY}.example/${CANARY}>; rel="next"` }),
  page_loop: (response) => sendJson(response, [], { link: `</things?p=${CANARY}>; rel="next"` }),
  network: (response) => {
    response.write(`["${CANARY}`, () => response.destroy());
  },
  timeout: (response) => {
    response.write(`["${CANARY}`);
  },
};

test('no credential, id, query value or part of an answer is in an error or a log line', async (t) => {
  for (const source of everyCredential) {
    for (const [code, answer] of Object.entries(everyFailure)) {
      const { client, lines } = await setup(t, answer, {
        source: { ...source, maxAttempts: 2, timeout: code === 'timeout' ? '40ms' : '30s' },
        environment: { TOKEN: CANARY },
      });
      const reads = [
        () =>
          readAll(
            client,
            { ...plainList, pagination: linkHeader(), query: { q: CANARY } },
            { params: { since: CANARY } },
          ),
        () => client.getRecord({ path: '/things/{id}', record: 'x' }, CANARY, { signal: never() }),
      ];
      for (const [index, read] of reads.entries()) {
        const error: unknown = await read().then(
          () => null,
          (thrown: unknown) => thrown,
        );
        t.type(error, SourceError, code);
        if (index === 0 && error instanceof SourceError) t.equal(error.code, code);
        const shown = inspect(error, { depth: 4 }) + JSON.stringify(error) + inspect(lines, { depth: 4 });
        t.notMatch(shown, new RegExp(CANARY), code);
      }
    }
  }
});
