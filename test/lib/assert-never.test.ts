import { test } from 'tap';
import { assertNever } from '../../src/lib/assert-never.ts';

test('a case that the compiler was lied to about is thrown, not ignored', async (t) => {
  t.throws(() => assertNever('surprise' as never), { name: 'TypeError' });
});
