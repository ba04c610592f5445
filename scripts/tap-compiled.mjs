// Loaded into every test process: tap's TypeScript plugin does not work with TypeScript 7 and has nothing to do here, since
// tests run compiled. This makes it stand aside.
process.env.TAP_TYPE_STRIP_ONLY = '1';
