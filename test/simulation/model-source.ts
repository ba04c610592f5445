import type { Instant } from '../../src/model/instant.ts';
import { addMs } from '../../src/model/instant.ts';
import type { Clock } from './clock.ts';
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';
import { type Fields, lastMoment, type Moment, type SourceRecord } from './source-history.ts';
import { derive, normalise, type SourceShape } from './source-shape.ts';

/** A webhook that the source means to send. */
export type Hook = { readonly eventId: string; readonly body: HookBody; readonly copies: number };

export type HookBody = {
  readonly id: string;
  readonly kind: 'full' | 'partial' | 'thin' | 'deleted';
  /** Raw record; of a partial one only what changed. */
  readonly record: Raw | null;
  readonly version: bigint | null;
  readonly previousVersion: bigint | null;
  readonly isForged: boolean;
};

/** A record as the source shows it. */
export type Raw = {
  readonly id: string;
  readonly fields: Fields;
  readonly version: bigint | null;
  readonly etag: string;
  readonly isDeleted: boolean;
  readonly marker: string | null;
};

type Pending = {
  readonly record: SourceRecord | null;
  readonly id: string;
  readonly fields: Fields | null;
  readonly version: bigint | null;
  readonly by: Instant;
};

export type ModelSource = ReturnType<typeof createModelSource>;

/** The system of record, with the whole history of each of its records. It knows nothing of us. */
export function createModelSource(deps: {
  shape: SourceShape;
  clock: Clock;
  random: Random;
  faults: Faults;
  trace: ((line: string) => void) | null;
}) {
  const { shape, clock, random, faults } = deps;
  const records = new Map<string, SourceRecord>();
  const hooks: Hook[] = [];
  const pending: Pending[] = [];
  const derivations: { readonly id: string; readonly dueAt: Instant }[] = [];
  let counter = 0n;
  let lastId = 0;
  let lastEvent = 0;

  const versionAt = (record: SourceRecord | null, stampAt: Instant): bigint | null => {
    if (shape.versionKind === 'none') return null;
    if (shape.versionKind === 'counter') return ++counter;
    const tickUs = shape.tickMs * 1000;
    const stamp = BigInt(Math.floor(stampAt / tickUs) * tickUs);
    const before = record === null ? null : (record.moments.at(-1)?.version ?? null);
    return before !== null && before > stamp ? before : stamp;
  };

  function append(
    record: SourceRecord,
    at: Instant,
    fields: Fields | null,
    version: bigint | null,
    tokenId: string | null,
  ) {
    const index = record.moments.length;
    const before = record.moments.at(-1) ?? null;
    const moment: Moment = { index, at, fields, version, etag: `${record.id}-${index}`, tokenId };
    record.moments.push(moment);
    deps.trace?.(
      `${at} at the source ${record.id} #${index} v${version}: ${JSON.stringify(fields)}${tokenId === null ? '' : `, by ${tokenId}`}`,
    );
    announce(record, moment, before);
    if (shape.derives === 'later' && fields !== null && !hasDerived(fields)) {
      derivations.push({ id: record.id, dueAt: addMs(at, random.below(3000)) });
    }
    return moment;
  }

  /** One change may be told of several times, or not at all. */
  function announce(record: SourceRecord, moment: Moment, before: Moment | null): void {
    if (faults.strikes('hook_lost')) return;
    const copies = (faults.strikes('hook_doubled') ? 2 : 1) + (moment.tokenId !== null && random.chance(0.3) ? 1 : 0);
    hooks.push({ eventId: `event-${++lastEvent}`, body: bodyOf(record, moment, before), copies });
  }

  function bodyOf(record: SourceRecord, moment: Moment, before: Moment | null): HookBody {
    const isVersioned = moment.fields !== null || shape.deleteEvents === 'versioned';
    const version = isVersioned ? moment.version : null;
    const common = { id: record.id, version, previousVersion: before?.version ?? null, isForged: false };
    if (moment.fields === null) return { ...common, kind: 'deleted', record: null };
    if (shape.payload === 'thin') return { ...common, kind: 'thin', record: null };
    const whole = showRecord(record, moment);
    if (shape.payload === 'full' || before === null || before.fields === null)
      return { ...common, kind: 'full', record: whole };
    return { ...common, kind: 'partial', record: { ...whole, fields: changedFields(before.fields, moment.fields) } };
  }

  function commitPending(one: Pending, at: Instant): void {
    const record = one.record ?? addRecord(one.id, null);
    append(record, at, one.fields, one.version, null);
  }

  function addRecord(id: string, marker: string | null): SourceRecord {
    const record: SourceRecord = { id, moments: [], marker };
    records.set(id, record);
    return record;
  }

  /** What was begun at the record is seen before anything else is done to it. */
  function settle(id: string): void {
    const place = pending.findIndex((one) => one.id === id);
    const [one] = place < 0 ? [] : pending.splice(place, 1);
    if (one !== undefined) commitPending(one, clock.read());
  }

  function change(id: string, fields: Fields | null): void {
    settle(id);
    const record = records.get(id) ?? null;
    const version = versionAt(record, clock.at());
    const one: Pending = { record, id, fields, version, by: addMs(clock.at(), random.below(shape.lateCommitMs + 1)) };
    if (one.by <= clock.at()) commitPending(one, clock.read());
    else pending.push(one);
  }

  const complete = (fields: Fields): Fields => {
    const normal = normalise(shape, fields);
    return shape.derives === 'at_once' ? derive(normal) : normal;
  };

  return {
    shape,
    records,
    hooks,
    newId: () => `s${++lastId}`,
    nextEventId: () => `event-${++lastEvent}`,
    addRecord,
    settle,
    /** Fields as the source stores them. */
    complete,
    /** A write of ours is carried out: seen at once by those whose reads do not lag. */
    write: (record: SourceRecord, fields: Fields | null, tokenId: string | null): Moment =>
      append(record, clock.read(), fields, versionAt(record, clock.at()), tokenId),
    /** Somebody at the source creates, changes (also to what it is already) or deletes a record. */
    edit(id: string, fields: Fields | null): void {
      change(id, fields === null ? null : complete(fields));
    },
    /** What a person at the source would find, late commits included; null when it is not there. */
    current(id: string): Fields | null {
      settle(id);
      const record = records.get(id);
      return record === undefined ? null : lastMoment(record).fields;
    },
    /** Carries out what has become due. */
    tick(): void {
      while (pending.length > 0 && pending.some(({ by }) => by <= clock.at())) {
        pending.sort((left, right) => left.by - right.by);
        const one = pending.shift();
        if (one !== undefined) commitPending(one, Math.min(one.by, clock.at()));
      }
      for (let place = derivations.length - 1; place >= 0; place--) {
        const due = derivations[place];
        if (due === undefined || due.dueAt > clock.at()) continue;
        derivations.splice(place, 1);
        const record = records.get(due.id);
        const fields = record === undefined ? null : lastMoment(record).fields;
        if (record === undefined || fields === null || hasDerived(fields)) continue;
        settle(due.id);
        const now = lastMoment(record).fields;
        if (now !== null && !hasDerived(now))
          append(record, clock.read(), derive(now), versionAt(record, clock.at()), null);
      }
    },
    /** When something becomes due by itself; infinity when nothing does. */
    nextAt: (): Instant =>
      Math.min(...pending.map(({ by }) => by), ...derivations.map(({ dueAt }) => dueAt), Number.POSITIVE_INFINITY),
  };
}

export const showRecord = (record: SourceRecord, moment: Moment): Raw => ({
  id: record.id,
  fields: moment.fields ?? {},
  version: moment.version,
  etag: moment.etag,
  isDeleted: moment.fields === null,
  marker: record.marker,
});

const hasDerived = (fields: Fields): boolean => fields.d === derive(fields).d;

function changedFields(before: Fields, after: Fields): Fields {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => before[name] !== value));
}
