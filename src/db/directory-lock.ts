import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseError } from './errors.ts';

/**
 * A lock on a folder, held by one process of this machine. Each holder has a file of its own, `lock.<generation>`, made by
 * hard link (atomic, with its content, and refused if it exists). The highest generation holds. A process that finds it free
 * links the next one; of several that try, the file system lets one through. The highest file is never removed, only marked
 * as free, so that a slow process can never link a number that had its turn: and should it link one whose file was cleared
 * away by a later holder, it sees that one's file right after and gives up.
 *
 * Free means: marked so, or the process is gone (no such pid, or that pid started at another time). Age plays no part. It
 * cannot see into other machines or containers: do not share the folder between those.
 */
export type DirectoryLock = { release(): void };

type Holder = { readonly pid: number; readonly startedAt: string; readonly isReleased: boolean };

const LOCK_FILE = /^lock\.(\d{1,15})$/;
const MAX_ATTEMPTS = 20;

/** Throws `DatabaseError` `directory_locked`, naming the folder, the process and the way out. */
export function lockDirectory(folder: string): DirectoryLock {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const top = highestGeneration(folder);
    const holder = top === 0 ? null : readHolder(lockPath(folder, top));
    if (holder !== null && isAlive(holder)) throw lockedError(folder, holder.pid);
    if (!link(folder, top + 1)) continue;
    if (highestGeneration(folder) !== top + 1) {
      rmSync(lockPath(folder, top + 1), { force: true });
      continue;
    }
    for (const generation of generations(folder)) {
      if (generation <= top) rmSync(lockPath(folder, generation), { force: true });
    }
    return { release: () => markReleased(folder, top + 1) };
  }
  throw new DatabaseError('directory_locked', `Several processes are starting on ${folder} at once: start one of them`);
}

const lockPath = (folder: string, generation: number) => join(folder, `lock.${generation}`);

const generations = (folder: string): number[] =>
  readdirSync(folder).flatMap((name) => {
    const match = LOCK_FILE.exec(name);
    return match === null ? [] : [Number(match[1])];
  });

const highestGeneration = (folder: string): number => Math.max(0, ...generations(folder));

/** True when this process made the file, false when another was faster. */
function link(folder: string, generation: number): boolean {
  const draft = writeDraft(folder, false);
  try {
    linkSync(draft, lockPath(folder, generation));
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function markReleased(folder: string, generation: number): void {
  // Deleted under us: then there is nothing left to hold.
  if (!existsSync(lockPath(folder, generation))) return;
  renameSync(writeDraft(folder, true), lockPath(folder, generation));
}

function writeDraft(folder: string, isReleased: boolean): string {
  const draft = join(folder, `lock-draft-${randomUUID()}`);
  const holder: Holder = { pid: process.pid, startedAt: startOf(process.pid) ?? '', isReleased };
  writeFileSync(draft, JSON.stringify(holder));
  return draft;
}

/** Null when the file is gone, or was cut short by a full disk or a power cut: a linked file is never half written otherwise. */
function readHolder(path: string): Holder | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isHolder(value) ? value : null;
  } catch {
    return null;
  }
}

const isHolder = (value: unknown): value is Holder =>
  typeof value === 'object' &&
  value !== null &&
  'pid' in value &&
  typeof value.pid === 'number' &&
  'startedAt' in value &&
  typeof value.startedAt === 'string' &&
  'isReleased' in value &&
  typeof value.isReleased === 'boolean';

function isAlive(holder: Holder): boolean {
  if (holder.isReleased) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it lives, under another user.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  const startedAt = startOf(holder.pid);
  // Where the time cannot be told, a living pid counts as the holder: refusing to start is the smaller harm.
  return startedAt === null || holder.startedAt === '' || startedAt === holder.startedAt;
}

/** Tells one use of a pid from the next: the boot and the tick it started at, or what `ps` says. Null when neither can be read. */
function startOf(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the program's name, may hold spaces and brackets: count from behind it. Field 22 is the start.
    const tick = fields.slice(fields.lastIndexOf(')') + 2).split(' ')[19];
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${tick}`;
  } catch {
    return startByPs(pid);
  }
}

function startByPs(pid: number): string | null {
  try {
    const environment = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
    return (
      execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { env: environment, encoding: 'utf8' }).trim() || null
    );
  } catch {
    return null;
  }
}

const lockedError = (folder: string, pid: number) =>
  new DatabaseError(
    'directory_locked',
    `The embedded database in ${folder} is in use by process ${pid}: stop that process, ask it (its HTTP routes) instead of opening its folder, or set DATABASE_URL to share a PostgreSQL server`,
  );
