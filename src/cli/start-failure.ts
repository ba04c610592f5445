import { StartError } from '../config/start-error.ts';
import { DatabaseError } from '../db/errors.ts';
import { describeFailure } from '../sync/failures.ts';

/** Says on stderr why the start failed: each problem with its place, nothing of the values. @returns the exit code. */
export function reportStartFailure(error: unknown): number {
  process.stderr.write(`${explain(error)}\n`);
  return 1;
}

function explain(error: unknown): string {
  if (error instanceof StartError) {
    return ['Syncline cannot start:', ...error.problems.map(({ path, problem }) => `  ${path}: ${problem}`)].join('\n');
  }
  if (error instanceof DatabaseError) return `Syncline cannot start: ${error.message}`;
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
    return 'Syncline cannot start: PORT is in use by another program; stop that one or set another port';
  }
  const place = placeOf(error);
  if (place !== null) return `Syncline cannot start: ${place}`;
  const { code, message } = describeFailure(error);
  return `Syncline cannot start: ${code}: ${message}`;
}

const PLACES: { readonly [code: string]: string } = {
  ENOTDIR: 'SYNCLINE_DATA_DIR: a part of its path is a file; name a folder, or set DATABASE_URL',
  EEXIST: 'SYNCLINE_DATA_DIR: there is a file of that name; name a folder, or set DATABASE_URL',
  EACCES: 'SYNCLINE_DATA_DIR (or PORT): this user may not use it; name another, or set DATABASE_URL',
  EPERM: 'SYNCLINE_DATA_DIR (or PORT): this user may not use it; name another, or set DATABASE_URL',
  EROFS: 'SYNCLINE_DATA_DIR: it lies on a file system that cannot be written; name another folder, or set DATABASE_URL',
  ENOSPC: 'SYNCLINE_DATA_DIR: no space is left there',
  EADDRNOTAVAIL: 'HOST: no address of this machine; use 127.0.0.1, 0.0.0.0 or one that it has',
  ENOTFOUND: 'HOST: no such name; use 127.0.0.1, 0.0.0.0 or an address of this machine',
};

/** What the operating system refused, by the setting that named it. */
function placeOf(error: unknown): string | null {
  for (
    let current: unknown = error, depth = 0;
    current instanceof Error && depth < 8;
    current = current.cause, depth++
  ) {
    if ('code' in current && typeof current.code === 'string' && 'syscall' in current)
      return PLACES[current.code] ?? null;
  }
  return null;
}
