import { createHmac, timingSafeEqual } from 'node:crypto';
import Fastify from 'fastify';
import { WEBHOOK_SECRET } from './records.ts';

/** A program: what every ratio stands against. A Fastify route that checks the signature over the raw body, and no more. */
const MAX_BODY_BYTES = 1_048_576;

const app = Fastify({ logger: false });
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES }, (_request, body, done) =>
  done(null, body),
);
app.post('/webhooks/:integration', async (request, reply) => {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const expected = createHmac('sha256', WEBHOOK_SECRET).update(body).digest();
  const header = String(request.headers['x-hub-signature-256'] ?? '');
  const given = Buffer.from(header.slice('sha256='.length), 'hex');
  const isGenuine = given.length === expected.length && timingSafeEqual(given, expected);
  return reply.status(isGenuine ? 202 : 401).send();
});

const address = await app.listen({ host: '127.0.0.1', port: 0 });
process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message === 'stop') process.exit(0);
});
process.send?.({ address, startMs: 0 });
