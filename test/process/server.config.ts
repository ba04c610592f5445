import { shopDefinition } from '../app/shop.ts';

/** What the server processes of the tests run: the shop, its tables made by the test itself. */
export default { integrations: [shopDefinition] };
