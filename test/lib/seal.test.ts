import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { test } from 'tap';
import { createSealer, readKeys, SealError } from '../../src/lib/seal.ts';

const CONTEXT = { name: 'crm', purpose: 'tokens' };
const newKey = () => randomBytes(32).toString('base64');

function sealerOf(text: string) {
  const keys = readKeys(text);
  if (!keys.ok) throw new Error(keys.problem);
  return createSealer(keys.keys);
}

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return error instanceof SealError ? error.code : String(error);
  }
  return 'opened';
};

test('what is sealed opens again, shows nothing, and never looks the same twice', (t) => {
  const sealer = sealerOf(newKey());
  const sealed = sealer.seal('a token, ünï', CONTEXT);
  t.same(sealer.open(sealed, CONTEXT), { text: 'a token, ünï', isCurrent: true });
  t.notOk(sealed.includes('token'));
  t.notOk(sealed.equals(sealer.seal('a token, ünï', CONTEXT)));
  t.end();
});

test('a change of any byte is noticed', (t) => {
  const sealer = sealerOf(newKey());
  const sealed = sealer.seal('token', CONTEXT);
  for (const [index, byte] of sealed.entries()) {
    const altered = Buffer.from(sealed);
    altered[index] = byte ^ 1;
    t.match(
      codeOf(() => sealer.open(altered, CONTEXT)),
      /damaged|unknown_key/,
      `byte ${index}`,
    );
  }
  for (const length of [0, 1, 20, sealed.length - 1])
    t.equal(
      codeOf(() => sealer.open(sealed.subarray(0, length), CONTEXT)),
      'damaged',
    );
  t.end();
});

test('a value that is moved to another row or another use does not open', (t) => {
  const sealer = sealerOf(newKey());
  const sealed = sealer.seal('token', CONTEXT);
  t.equal(
    codeOf(() => sealer.open(sealed, { ...CONTEXT, name: 'shop' })),
    'damaged',
  );
  t.equal(
    codeOf(() => sealer.open(sealed, { ...CONTEXT, purpose: 'oauth flow' })),
    'damaged',
  );
  t.end();
});

test('in a rotation the first key seals and all of them open', (t) => {
  const [old, next] = [newKey(), Buffer.from(newKey(), 'base64').toString('hex')];
  const before = sealerOf(old).seal('token', CONTEXT);
  const during = sealerOf(`${next}, ${old}`);
  t.same(during.open(before, CONTEXT), { text: 'token', isCurrent: false });
  const after = during.seal('token', CONTEXT);
  t.same(sealerOf(next).open(after, CONTEXT), { text: 'token', isCurrent: true });
  t.equal(
    codeOf(() => sealerOf(next).open(before, CONTEXT)),
    'unknown_key',
  );
  t.end();
});

test('keys that are none are refused with the way out, and are not shown', (t) => {
  const short = randomBytes(31).toString('base64');
  for (const text of [
    'CANARY',
    short,
    `${newKey()},`,
    `${newKey()},CANARY`,
    '0'.repeat(63),
    ' ',
    `${newKey()} ${newKey()}`,
  ]) {
    const keys = readKeys(text);
    t.equal(keys.ok, false);
    if (keys.ok) continue;
    t.match(keys.problem, /openssl rand -base64 32/);
    t.notMatch(keys.problem, /CANARY/);
    t.notOk(keys.problem.includes(short));
  }
  t.end();
});

test('a key shows nothing of itself when it is printed', (t) => {
  const key = newKey();
  const keys = readKeys(key);
  const hex = Buffer.from(key, 'base64').toString('hex').slice(0, 12);
  const printed = `${inspect(keys, { depth: 9, showHidden: true })}${JSON.stringify(keys)}${inspect(sealerOf(key), { depth: 9 })}`;
  t.notOk(printed.includes(key) || printed.includes(hex));
  t.end();
});
