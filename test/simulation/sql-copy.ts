import { sql } from 'drizzle-orm';
import type { Db } from '../../src/db/connect.ts';
import { queryRows } from '../../src/db/query.ts';
import type { Content, StreamKey } from '../../src/model/observation.ts';
import { readTokensOf } from '../../src/store/change-tokens.ts';
import type { HintRow, Progress, PushRow, Tables } from './tables.ts';

type RowsOf<Name extends 'tokens' | 'conflicts' | 'changes'> = Tables[Name]['rows'];

/** What the database holds of the one stream, as tables in memory hold it. */
export type CopiedRows = {
  readonly recordIds: readonly string[];
  readonly customers: ReadonlyMap<string, Content>;
  readonly pushes: ReadonlyMap<string, PushRow>;
  readonly tokens: RowsOf<'tokens'>;
  readonly conflicts: RowsOf<'conflicts'>;
  readonly hints: ReadonlyMap<number, HintRow>;
  readonly changes: RowsOf<'changes'>;
  readonly waits: Pick<Progress, 'blockedUntil' | 'pausedForAuth' | 'heldDeletes'>;
};

/** Microseconds of a time, as a number; null stays null. */
const micros = (column: string) => `(extract(epoch FROM ${column}) * 1000000)::float8`;

/** Everything in one statement: it is asked after each transaction. */
export async function readCopy(db: Db, key: StreamKey): Promise<CopiedRows> {
  const [row] = await queryRows<{ copy: string }>(
    db,
    sql.raw(`SELECT json_build_object(
      'records', (SELECT coalesce(json_agg(external_id), '[]') FROM sync.record_states),
      'customers', (SELECT coalesce(json_agg(c), '[]') FROM shop.customers c),
      'pushes', (SELECT coalesce(json_agg(json_build_object('id', id, 'op', op, 'carries', carries, 'externalId', external_id,
          'targetKey', target_key, 'state', state, 'edits', edits, 'snapshot', snapshot, 'patch', patch, 'request', request,
          'ifMatch', if_match, 'tokenId', token_id, 'firstCallAt', ${micros('first_call_at')}, 'deadline', ${micros('deadline')},
          'runAt', ${micros('run_at')}, 'editedAt', ${micros('edited_at')}, 'attempt', attempt, 'leaseToken', lease_token,
          'parkReason', park_reason, 'errorCode', error_code, 'error', error,
          'leaseExpiresAt', ${micros('lease_expires_at')}) ORDER BY created_at, id), '[]')
        FROM sync.outbox_pushes WHERE state <> 'done'),
      'conflicts', (SELECT coalesce(json_agg(json_build_object('id', id, 'externalId', external_id, 'targetKey', target_key,
          'kind', kind, 'fields', fields, 'base', base, 'local', local, 'remote', remote, 'policy', policy, 'outcome', outcome)), '[]')
        FROM sync.conflicts),
      'hints', (SELECT coalesce(json_agg(json_build_object('id', id, 'externalId', external_id, 'reason', reason,
          'runAt', ${micros('run_at')}, 'attempt', attempt, 'leaseToken', lease_token,
          'leaseExpiresAt', ${micros('lease_expires_at')})), '[]') FROM sync.hints),
      'changes', (SELECT coalesce(json_agg(json_build_object('id', id, 'targetKey', target_keys[1], 'op', op)), '[]') FROM sync.local_changes),
      'blockedUntil', (SELECT max(${micros('blocked_until')}) FROM sync.source_states),
      'pausedForAuth', EXISTS (SELECT 1 FROM sync.source_states WHERE paused IS NOT NULL),
      'heldDeletes', (SELECT max(held_deletes) FROM sync.streams))::text AS copy`),
  );
  const copy = JSON.parse(row?.copy ?? '{}') as Copy;
  const tokens = await readTokensOf(db, key, copy.records);
  return {
    recordIds: copy.records,
    customers: new Map(copy.customers.map((content) => [String(content.id), content])),
    pushes: new Map(copy.pushes.map((push) => [push.id, { ...push, preVersion: null, request: parse(push.request) }])),
    tokens: new Map([...tokens.values()].flat().map((token) => [token.id, token])),
    conflicts: new Map(
      copy.conflicts.map((one) => [
        one.id,
        { ...one, remoteVersion: null, createdAt: 0, resolvedAt: null, resolvedBy: null },
      ]),
    ),
    hints: new Map(
      copy.hints.map((hint) => [
        hint.id,
        { ...hint, needLo: Number.NEGATIVE_INFINITY, minVersion: null, correlationId: null, runId: null },
      ]),
    ),
    changes: new Map(copy.changes.map(({ id, targetKey, op }) => [id, { targetKey, op, at: 0 }])),
    waits: { blockedUntil: copy.blockedUntil, pausedForAuth: copy.pausedForAuth, heldDeletes: copy.heldDeletes },
  };
}

type Value<Name extends 'conflicts' | 'changes'> = RowsOf<Name> extends ReadonlyMap<unknown, infer V> ? V : never;

type Copy = {
  readonly records: string[];
  readonly customers: Content[];
  readonly pushes: (Omit<PushRow, 'request' | 'preVersion'> & { readonly request: string | null })[];
  readonly conflicts: Omit<Value<'conflicts'>, 'remoteVersion' | 'createdAt' | 'resolvedAt' | 'resolvedBy'>[];
  readonly hints: Pick<
    HintRow,
    'id' | 'externalId' | 'reason' | 'runAt' | 'attempt' | 'leaseToken' | 'leaseExpiresAt'
  >[];
  readonly changes: (Pick<Value<'changes'>, 'targetKey' | 'op'> & { readonly id: number })[];
  readonly blockedUntil: number | null;
  readonly pausedForAuth: boolean;
  readonly heldDeletes: string | null;
};

const parse = (text: string | null): PushRow['request'] => (text === null ? null : JSON.parse(text));
