import { test } from 'tap';
import { errorFields } from '../../src/lib/error-fields.ts';

test('a log shows class, codes, names of the schema and frames of an error and its causes, and no message', async (t) => {
  const cause = Object.assign(new TypeError('CANARY in the cause\n    at CANARY (file.ts:1:1)'), {
    code: '23505',
    constraint: 'one_email',
    detail: 'Key (email)=(CANARY)',
    params: ['CANARY'],
  });
  const error = Object.assign(new Error('CANARY\n    at CANARY (file.ts:1:1)', { cause }), { query: 'CANARY' });
  const fields = errorFields(error);
  t.notMatch(JSON.stringify(fields), /CANARY/);
  t.match(fields, {
    type: 'Error',
    stack: [/^at .*error-fields\.test/],
    cause: { type: 'TypeError', code: '23505', constraint: 'one_email', stack: [/^at /] },
  });
});

test('an error that was tampered with, is its own cause, or is no error at all is described without failing', async (t) => {
  const circular = new Error('CANARY');
  circular.cause = circular;
  const renamed = Object.assign(new Error('first'), { name: '{"CANARY":1}', code: 'a "CANARY"', message: 'other' });
  for (const odd of [circular, renamed, 'CANARY', { message: 'CANARY' }, null, undefined]) {
    t.notMatch(JSON.stringify(errorFields(odd)), /CANARY/);
  }
  t.same(errorFields('CANARY'), { type: 'string' });
});
