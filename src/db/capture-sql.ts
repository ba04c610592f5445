import { createHash } from 'node:crypto';
import type { StreamKey } from '../model/observation.ts';
import { type TableIdentity, tableIdentitySchema } from '../model/table-identity.ts';
import type { TargetTable } from '../model/target.ts';
import { columnOf, contentColumns, keyColumn, keyText, quote, quoteText, tableName } from './target-sql.ts';

/** A two-way stream and the table whose edits are captured for it. */
export type CaptureTarget = { readonly key: StreamKey; readonly target: TargetTable };

/** A function of our own schema for each stream, and the triggers of the user's table that call it. */
export type Capture = {
  readonly functionName: string;
  /** Exactly as the database keeps it, so that a changed definition is noticed. */
  readonly body: string;
  readonly triggers: readonly string[];
  /** Statements that make it so, whatever is there: none waits for readers, the last ones wait for writers. */
  readonly statements: readonly string[];
};

/** Changes with the form of the triggers, whose definitions are not compared: those of an older form are then strangers. */
const FORM = 1;
/** Rows of one statement that share a line. More makes large values, which are stored apart; fewer saves nothing more. */
const MAX_KEYS_PER_LINE = 64;
/** A line must never wait for long: the table may be locked by a migration. The edit is then found by the audit. */
const LOCK_TIMEOUT_MS = 50;

export const FUNCTION_PREFIX = 'capture_';

const EVENTS = ['insert', 'update', 'delete', 'truncate'] as const;

/** What the function of a stream and its triggers are called. */
export function captureNames(key: StreamKey) {
  const id = createHash('sha256')
    .update(JSON.stringify([FORM, key.integration, key.entity]))
    .digest('hex')
    .slice(0, 16);
  const nameOf = (event: (typeof EVENTS)[number]): string => `syncline_${id}_${event}`;
  return { id, functionName: `${FUNCTION_PREFIX}${id}`, triggers: EVENTS.map(nameOf), nameOf };
}

export function captureOf(capture: CaptureTarget): Capture {
  const { key, target } = capture;
  const { id, functionName, triggers, nameOf } = captureNames(key);
  const body = functionBody(capture);
  const signature = `sync.${functionName}()`;
  return {
    functionName,
    body,
    triggers,
    statements: [
      // The user's role has no rights in our schema, so the function runs with its owner's; hence its path is fixed.
      `CREATE OR REPLACE FUNCTION ${signature} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
         SET search_path = pg_catalog, pg_temp SET lock_timeout = '${LOCK_TIMEOUT_MS}ms' AS ${dollarQuoted(body, id)}`,
      // A trigger fires whoever may call its function; without this anybody could hang it on a table of her own.
      `REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC`,
      ...EVENTS.map(
        (event) => `CREATE OR REPLACE TRIGGER ${nameOf(event)} AFTER ${event.toUpperCase()} ON ${tableName(target)}
          ${TRANSITIONS[event]} FOR EACH STATEMENT EXECUTE FUNCTION ${signature}`,
      ),
    ],
  };
}

/** PostgreSQL gives rows of a statement to triggers of one event only, so there is one for each. */
const TRANSITIONS: { readonly [event in (typeof EVENTS)[number]]: string } = {
  insert: 'REFERENCING NEW TABLE AS changed_rows',
  update: 'REFERENCING OLD TABLE AS previous_rows NEW TABLE AS changed_rows',
  delete: 'REFERENCING OLD TABLE AS changed_rows',
  truncate: '',
};

const COMMENT_START = 'Captures edits of the stream ';

/** A comment of two lines: the stream, and which table it is. It goes into a dump, and so comes back with what it tells of. */
export const commentStatement = (key: StreamKey, identity: TableIdentity): string =>
  `COMMENT ON FUNCTION sync.${captureNames(key).functionName}() IS ${quoteText(
    `${COMMENT_START}${key.integration}/${key.entity}\n${JSON.stringify(identity)}`,
  )}`;

/** The stream that a function of ours says it is for; null where it does not say. */
export function streamOfComment(comment: string | null): StreamKey | null {
  const [line = ''] = comment?.split('\n') ?? [];
  const [integration, entity, ...rest] = line.startsWith(COMMENT_START)
    ? line.slice(COMMENT_START.length).split('/')
    : [];
  return integration === undefined || entity === undefined || rest.length > 0 ? null : { integration, entity };
}

/** Which table a function of ours says that it captures; null where it does not say. */
export function identityOfComment(comment: string | null): TableIdentity | null {
  const [, line] = comment?.split('\n') ?? [];
  if (line === undefined) return null;
  try {
    // Whoever may comment on the function may have written anything.
    return tableIdentitySchema.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null;
  }
}

/** What stays of a capture whose triggers cannot be removed now: they call it, and it does nothing. */
const SILENT_BODY = 'BEGIN RETURN NULL; END';

export const silenceStatement = (functionName: string): string =>
  `CREATE OR REPLACE FUNCTION sync.${quote(functionName)}() RETURNS trigger LANGUAGE plpgsql AS ${dollarQuoted(SILENT_BODY, 'silent')}`;

/**
 * Inserts and nothing else: no unique key but a counter's, no update, so it waits for nobody. Whatever fails in it must not
 * fail the user's statement. The key of a changed row counts as updated; one that is gone from its row counts as removed.
 *
 * There is no join of the two sets of rows: the plan is kept for the session, and one that was made for few rows would take
 * hours for many. A statement of one row, by far the most frequent, is passed over when nothing that we know of has changed.
 */
function functionBody({ key, target }: CaptureTarget): string {
  const stream = `${quoteText(key.integration)}, ${quoteText(key.entity)}`;
  const column = quote(keyColumn(target).name);
  const keep = (keys: string, op: string): string =>
    `INSERT INTO sync.local_changes (integration, entity, target_keys, op) VALUES (${stream}, ${keys}, ${op});`;
  // Bytes count, whatever collation the column has: some take different texts for equal.
  const rowKey = `${keyText('r', target)} COLLATE "C"`;
  const keysHash = (rows: string): string => `(SELECT bit_xor(hashtextextended(${rowKey}, 0)) FROM ${rows} AS r)`;
  return `
DECLARE
  keys text[] := '{}';
  row_key text;
  total bigint := 0;
BEGIN
  IF pg_trigger_depth() = 1 AND current_setting('sync.applying', true) = '1' THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    ${keep("'{}'", "'T'")}
    RETURN NULL;
  END IF;
  FOR row_key IN SELECT ${rowKey} FROM changed_rows AS r WHERE r.${column} IS NOT NULL LOOP
    total := total + 1;
    keys := array_append(keys, row_key);
    IF total % ${MAX_KEYS_PER_LINE} = 0 THEN
      ${keep('keys', 'left(TG_OP, 1)')}
      keys := '{}';
    END IF;
  END LOOP;
  IF TG_OP = 'UPDATE' THEN
    IF total = 1 AND NOT EXISTS (
      SELECT FROM previous_rows AS p, changed_rows AS c
      WHERE ${watched(target, 'p')} IS DISTINCT FROM ${watched(target, 'c')}
    ) THEN
      RETURN NULL;
    END IF;
    IF ${keysHash('previous_rows')} IS DISTINCT FROM ${keysHash('changed_rows')} THEN
      FOR row_key IN
        SELECT ${rowKey} FROM previous_rows AS r WHERE r.${column} IS NOT NULL
        EXCEPT SELECT ${rowKey} FROM changed_rows AS r
      LOOP
        ${keep('ARRAY[row_key]', "'D'")}
      END LOOP;
    END IF;
  END IF;
  IF cardinality(keys) > 0 THEN
    ${keep('keys', 'left(TG_OP, 1)')}
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'Syncline did not capture an edit of % (SQLSTATE %); its audit will find it', TG_RELID::regclass, SQLSTATE;
  RETURN NULL;
END
`;
}

/** As text: every type has one, and not every one can be compared, least of all with operators that the path does not see. */
function watched(target: TargetTable, alias: string): string {
  const deletedAt = target.deletedAtProperty === null ? [] : [columnOf(target, target.deletedAtProperty)];
  const names = new Set([keyColumn(target), ...contentColumns(target), ...deletedAt].map(({ name }) => name));
  return `ROW(${[...names].map((name) => `${alias}.${quote(name)}::text COLLATE "C"`).join(', ')})`;
}

const dollarQuoted = (text: string, tag: string): string => `$body_${tag}$${text}$body_${tag}$`;
