import type { ConfigDefinition } from '../../src/define/definition.ts';
import { shopDefinition } from '../app/shop.ts';

const { customers } = shopDefinition.entities;
if (customers === undefined) throw new Error('The shop has no customers');
const { TEST_INCREMENTAL: incremental } = process.env;

/** What the server processes of the tests run: the shop, on a schedule when a test asks for one. The test makes its table. */
export default {
  integrations: [
    {
      ...shopDefinition,
      entities: { customers: incremental ? { ...customers, reconcile: { incremental } } : customers },
    },
  ],
} satisfies ConfigDefinition;
