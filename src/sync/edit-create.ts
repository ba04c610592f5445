import { hash } from 'node:crypto';
import { canonicalJson } from '../mapping/canonical-json.ts';
import type { JsonValue } from '../model/json.ts';
import type { Content } from '../model/observation.ts';
import type { TargetColumn } from '../model/target.ts';
import { type EditDeps, inOneTransaction, NO_CREATE, planPush, type Refused, refuse } from './edit.ts';
import type { EditValues } from './edit-values.ts';
import type { RecordTx } from './record-store.ts';

export type Created =
  /** `isRepeat`: an earlier request with the same idempotency key has created it. */
  | { readonly kind: 'created'; readonly targetKey: string; readonly pushId: string; readonly isRepeat: boolean }
  | Refused;

/** Tries again when a rival with the same idempotency key, or a row of the same made-up key, came first. */
export const MAX_TRIES = 3;

/**
 * Creates a row, and by a push the record at the source. The row's key is the caller's or made up here, until the source has
 * given the record an id: then the row gets that. With an idempotency key the same request creates one row within a day.
 */
export async function createRecord(
  deps: EditDeps,
  { values }: EditValues,
  idempotencyKey: string | null,
): Promise<Created> {
  const { target, twoWay } = deps.stream;
  if (twoWay.writes.create === null) return { kind: 'not_supported', why: NO_CREATE };
  const column = target.columns[target.keyProperty];
  for (let tries = 1; ; tries++) {
    const key = values[target.keyProperty] ?? (column === undefined ? null : makeKey(column, deps.newId()));
    if (key === null) return keyNeeded(target.keyProperty);
    const row = rowOf(deps, values, key);
    const created = await inOneTransaction(deps, (tx) => createIn(tx, deps, row, values, idempotencyKey));
    const isRivals = created.kind === 'key_reused' || (created.kind === 'key_taken' && !(target.keyProperty in values));
    if (created.kind === 'created' && !created.isRepeat) deps.wakePushes();
    if (!isRivals || tries === MAX_TRIES) return created;
  }
}

async function createIn(
  tx: RecordTx,
  deps: EditDeps,
  row: Content,
  values: Content,
  idempotencyKey: string | null,
): Promise<Created> {
  const { target } = deps.stream;
  const targetKey = String(row[target.keyProperty]);
  const keyHash = idempotencyKey === null ? null : hash('sha256', idempotencyKey);
  const requestHash = hash('sha256', JSON.stringify(canonicalJson(values)));
  const known = keyHash === null ? null : await tx.findEditKey(keyHash);
  if (known !== null) {
    if (known.requestHash !== requestHash) return refuse({ kind: 'key_reused' });
    return { kind: 'created', targetKey: known.targetKey, pushId: known.pushId, isRepeat: true };
  }
  const isTaken = (await tx.takenKeys([targetKey])).size > 0 || (await tx.findByTargetKey([targetKey])).size > 0;
  if (isTaken) return refuse({ kind: 'key_taken' });
  await tx.writeRows([row]);
  const pushId = await planPush(tx, deps, { state: null, targetKey }, { isRemoval: false });
  if (keyHash !== null && !(await tx.saveEditKey({ keyHash, requestHash, targetKey, pushId }, null)))
    return refuse({ kind: 'key_reused' });
  return { kind: 'created', targetKey, pushId, isRepeat: false };
}

/** What is neither given nor the same everywhere the source will tell, or the column's default. */
function rowOf({ stream }: EditDeps, values: Content, key: JsonValue): Content {
  const { target, twoWay } = stream;
  const given: Content = { ...twoWay.constants, ...values, [target.keyProperty]: key };
  return Object.fromEntries(
    target.contentProperties.flatMap((property) => {
      const value = given[property];
      if (value === undefined && target.columns[property]?.hasDefault) return [];
      return [[property, value ?? null]];
    }),
  );
}

const keyNeeded = (field: string): Refused => ({
  kind: 'invalid',
  problems: [
    {
      field,
      expected: "a key that no row has, since none can be made up for this column; it gives way to the source's id",
      received: 'missing',
    },
  ],
});

const LOCAL = 'local-';
const SHORT_DIGITS = 12;
const LARGE = 2 ** 48;

/** A key that no source gives, from a UUID; null where the column has no room for one. */
export function makeKey({ kind, sqlType }: TargetColumn, id: string): JsonValue | null {
  const digits = id.replaceAll('-', '').slice(-SHORT_DIGITS);
  if (kind === 'text') {
    if (sqlType === 'uuid') return id;
    const length = Number(/\((\d+)\)/.exec(sqlType)?.[1] ?? Number.POSITIVE_INFINITY);
    if (length >= LOCAL.length + id.length) return `${LOCAL}${id}`;
    return length >= LOCAL.length + SHORT_DIGITS ? `${LOCAL}${digits}` : null;
  }
  if (kind === 'integer' && /big|int8/.test(sqlType)) return -1 - (Number.parseInt(digits, 16) % LARGE);
  if (kind === 'integer' && !/small|int2/.test(sqlType)) return -1 - (Number.parseInt(digits, 16) % (2 ** 31 - 1));
  return kind === 'decimal' && sqlType === 'numeric' ? String(-1 - (Number.parseInt(digits, 16) % LARGE)) : null;
}
