import type { FastifyInstance } from 'fastify';

export type ReadinessCheck = { readonly name: string; readonly ok: boolean; readonly detail: string };
export type HealthOptions = {
  /** All checks of readiness; never rejects. */
  readonly checkReadiness: () => Promise<readonly ReadinessCheck[]>;
  readonly version: string;
};

/** `GET /health`: the process answers. `GET /health/ready`: it can do its work, with the checks that say so. */
export async function healthRoutes(app: FastifyInstance, { checkReadiness, version }: HealthOptions): Promise<void> {
  app.get('/health', async () => ({ status: 'pass', version }));
  app.get('/health/ready', async (_request, reply) => {
    const checks = await checkReadiness();
    const isReady = checks.every(({ ok }) => ok);
    return reply.status(isReady ? 200 : 503).send({
      status: isReady ? 'pass' : 'fail',
      checks: Object.fromEntries(
        checks.map(({ name, ok, detail }) => [name, { status: ok ? 'pass' : 'fail', detail }]),
      ),
    });
  });
}
