import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const ROOT = resolve('..', 'shared', 'fixtures');

/** For tap: false when the fixture is there, otherwise why the test is left out. */
export const skipWithout = (path: string): string | false =>
  existsSync(resolve(ROOT, path)) ? false : `no fixture ../shared/fixtures/${path}`;

export const readFixture = (path: string): Buffer => readFileSync(resolve(ROOT, path));
export const readJsonFixture = (path: string): unknown => JSON.parse(readFixture(path).toString('utf8'));
export const listFixtures = (path: string): string[] => readdirSync(resolve(ROOT, path)).sort();
