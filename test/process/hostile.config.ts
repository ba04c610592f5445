import type { ConfigDefinition } from '../../src/define/definition.ts';
import type { Duration } from '../../src/lib/duration.ts';
import { shopDefinition } from '../app/shop.ts';
import { CREDENTIALS } from '../hostile/credentials.ts';

/**
 * The shop on a source that cannot be trusted. `TEST_KINDS=all`: one integration for each kind of credentials, on one
 * table, instead. `TEST_TIMEOUT_MS`: of one attempt.
 */
const { TEST_KINDS, TEST_TIMEOUT_MS } = process.env;
const timeout: Duration = `${Number(TEST_TIMEOUT_MS ?? 400)}ms`;
const source = { ...shopDefinition.source, timeout, maxAttempts: 6 };

export default {
  integrations:
    TEST_KINDS === 'all'
      ? Object.values(CREDENTIALS).map((credentials, index) => ({
          ...shopDefinition,
          name: `shop${index}`,
          source: { ...source, maxAttempts: 2, ...credentials },
        }))
      : [{ ...shopDefinition, source }],
} satisfies ConfigDefinition;
