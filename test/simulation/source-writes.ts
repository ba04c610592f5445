import { addMs, type Instant } from '../../src/model/instant.ts';
import type { PushOp } from '../../src/model/push.ts';
import { SourceError } from '../../src/source/error.ts';
import type { Actor } from './actors.ts';
import { type Raw, showRecord } from './model-source.ts';
import { type Fields, lastMoment } from './source-history.ts';
import type { ReadDeps } from './source-reads.ts';

export type Write = {
  readonly op: PushOp;
  readonly id: string | null;
  readonly fields: Fields;
  readonly ifMatch: string | null;
  /** Idempotency key. */
  readonly key: string | null;
  readonly bytes: string;
  readonly marker: string | null;
  /** Which write of ours it is: nothing that the source sees. */
  readonly tokenId: string | null;
  /** Key of the row that it comes from: not seen by the source either. */
  readonly row: string | null;
  /** Nothing is carried out later than this. */
  readonly deadline: Instant;
};

export type WriteAnswer = { readonly status: 200 | 404 | 412 | 422; readonly record: Raw | null };

/** A write that the source carried out. */
export type Executed = {
  readonly write: Write;
  readonly recordId: string;
  readonly at: Instant;
};

type Remembered = { readonly bytes: string; readonly answer: WriteAnswer; readonly until: Instant };
type Late = { readonly write: Write; readonly by: Instant };

const THROTTLED_MS = 2_000;
const ZOMBIE_MS = 120_000;
export const REFUSED_VALUE = 'refused';

/** What our workers can have the source do, and how it may go wrong. */
export function createWrites(deps: ReadDeps & { trace: ((line: string) => void) | null }) {
  const { source, clock, random, faults } = deps;
  const { shape, records } = source;
  const remembered = new Map<string, Remembered>();
  const late: Late[] = [];
  const executed: Executed[] = [];
  /** Answers of 2xx that reached us, and whoever was to act on them, by the write's own id. */
  const acknowledged = new Map<string, Executed>();
  /** Keys of the rows that records were created from. */
  const madeFrom = new Map<string, string>();
  let unknown = 0;

  function execute(write: Write): WriteAnswer {
    const known = write.key === null ? undefined : remembered.get(write.key);
    if (known !== undefined && known.until > clock.at())
      return known.bytes === write.bytes ? known.answer : { status: 422, record: null };
    const answer = carryOut(write);
    if (write.key !== null && shape.idempotencyTtlMs !== null && answer.status === 200)
      remembered.set(write.key, { bytes: write.bytes, answer, until: addMs(clock.at(), shape.idempotencyTtlMs) });
    return answer;
  }

  function carryOut(write: Write): WriteAnswer {
    if (shape.refuses && write.fields.b === REFUSED_VALUE) return { status: 422, record: null };
    if (write.op === 'create') {
      const record = source.addRecord(source.newId(), shape.hasMarker ? write.marker : null);
      if (write.row !== null) madeFrom.set(record.id, write.row);
      return done(
        write,
        record.id,
        source.complete({ a: null, b: null, d: null, n: null, ref: null, ...write.fields }),
      );
    }
    const id = write.id ?? '';
    source.settle(id);
    const record = records.get(id);
    const now = record === undefined ? null : lastMoment(record);
    if (now === null || now.fields === null) return { status: 404, record: null };
    const tag = shape.ifMatch === 'version' ? `"${now.version}"` : now.etag;
    if (shape.ifMatch !== null && write.ifMatch !== null && write.ifMatch !== tag) return { status: 412, record: null };
    if (write.op === 'delete') return done(write, id, null);
    const fields = source.complete({ ...now.fields, ...write.fields });
    const isSame = Object.entries(fields).every(([name, value]) => now.fields?.[name] === value);
    if (isSame && !shape.touches) return logged(write, id);
    return done(write, id, fields);
  }

  function done(write: Write, id: string, fields: Fields | null): WriteAnswer {
    const record = records.get(id);
    if (record !== undefined) source.write(record, fields, write.tokenId);
    return logged(write, id);
  }

  function logged(write: Write, id: string): WriteAnswer {
    deps.trace?.(
      `${clock.at()} carried out: ${write.op} of ${id} ${JSON.stringify(write.fields)}, by ${write.tokenId}`,
    );
    executed.push({ write, recordId: id, at: clock.at() });
    const record = records.get(id);
    return { status: 200, record: record === undefined ? null : showRecord(record, lastMoment(record)) };
  }

  function timeout(): SourceError {
    unknown++;
    return new SourceError('timeout', 'the write: no answer in time');
  }

  /** Sends one write and waits for its answer. Throws what the client would throw. */
  async function send(actor: Actor, write: Write): Promise<WriteAnswer & { startedAt: Instant; endedAt: Instant }> {
    const startedAt = clock.read();
    await actor.gate('write sent');
    source.tick();
    if (faults.strikes('write_lost')) throw timeout();
    if (faults.strikes('write_throttled'))
      throw new SourceError('rate_limited', 'the write: 429', { status: 429, retryAfterMs: THROTTLED_MS });
    if (faults.strikes('write_refused')) throw new SourceError('unauthorized', 'the write: 401', { status: 401 });
    if (faults.strikes('write_forbidden')) throw new SourceError('forbidden', 'the write: 403', { status: 403 });
    if (faults.strikes('write_late')) {
      late.push({ write, by: shape.hasZombies ? addMs(clock.at(), ZOMBIE_MS) : write.deadline });
      throw timeout();
    }
    if (clock.at() > write.deadline) throw timeout();
    const isFailing = faults.strikes('write_failed');
    if (isFailing && random.chance(0.5)) throw failed();
    const answer = execute(write);
    if (isFailing) throw failed();
    if (faults.strikes('write_answer_lost')) throw timeout();
    await actor.gate('write answered');
    if (clock.at() > write.deadline) throw timeout();
    if (answer.status === 200) acknowledge(write);
    return { ...answer, startedAt, endedAt: clock.read() };
  }

  function failed(): SourceError {
    unknown++;
    return new SourceError('server_error', 'the write: 500', { status: 500 });
  }

  function acknowledge(write: Write): void {
    const made = executed.findLast((one) => one.write.tokenId === write.tokenId);
    if (made !== undefined && write.tokenId !== null) acknowledged.set(write.tokenId, made);
  }

  return {
    send,
    executed,
    acknowledged,
    madeFrom,
    forgetAnswer: (tokenId: string): void => void acknowledged.delete(tokenId),
    unknownOutcomes: () => unknown,
    hasLate: () => late.length > 0,
    /** Carries out a write whose sender has given up waiting, if its time has not passed. */
    executeLate(): void {
      const [one] = late.splice(random.below(late.length), 1);
      if (one !== undefined && clock.at() <= one.by) execute(one.write);
    },
  };
}

export type Writes = ReturnType<typeof createWrites>;
