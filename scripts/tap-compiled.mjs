// Loaded into every test process, before what tap itself loads into it.
import module from 'node:module';

// tap's TypeScript plugin does not work with TypeScript 7 and has nothing to do here, since tests run compiled.
process.env.TAP_TYPE_STRIP_ONLY = '1';

// Nor are modules mocked: without tap's hooks, which are a thread of their own in every process and every worker of it, a
// test file takes a second less of processor time. Coverage needs them, and what a test starts may load sources.
const isTestFile = process.argv[1]?.endsWith('.test.js') === true;
if (isTestFile && process.env.SYNCLINE_TEST_COVERAGE === undefined) {
  module.register = () => {};
  module.syncBuiltinESMExports();
}
