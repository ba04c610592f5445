import fc from 'fast-check';
import { test } from 'tap';
import { compareKeys, type Key } from '../../../src/source/pagination/key-order.ts';

const sign = (value: bigint | number): number => (value < 0 ? -1 : value > 0 ? 1 : 0);

test('whole numbers of any length and sign are in the order of their values', async () => {
  const keyArbitrary = fc.oneof(
    fc.bigInt().map(String),
    fc.bigInt({ min: -20n, max: 20n }).map(String),
    fc.maxSafeInteger(),
  );
  fc.assert(
    fc.property(keyArbitrary, keyArbitrary, (left, right) => {
      const order = compareKeys(left, right);
      return order !== null && sign(order) === sign(BigInt(left) - BigInt(right));
    }),
  );
});

test('what only looks like a number is text, and none where numbers are declared', async (t) => {
  for (const key of ['007', '-0', '+1', '1.5', '1e3', ' 1', '٣', '0x1']) {
    t.equal(compareKeys(key, '5', 'number'), null, key);
    t.equal(compareKeys(key, '5'), sign(key < '5' ? -1 : 1), key);
  }
  const mixed: readonly [Key, Key][] = [
    ['9', '10'],
    ['a', 'B'],
  ];
  for (const [left, right] of mixed) t.equal(compareKeys(left, right, 'text'), 1, `${left} after ${right}`);
});
