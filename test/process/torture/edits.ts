import type postgres from 'postgres';
import { z } from 'zod';
import type { Random } from '../../../src/testing/index.ts';
import type { Item, SourceEdit, SourceProcess } from './source-client.ts';

/** A value that somebody has written into the table, or that may have been written: its answer was lost. */
export type LocalWrite = {
  readonly ref: string;
  /** `row`: the row was inserted, or removed where the value is null. */
  readonly field: keyof Item | 'row';
  readonly value: string | number | null;
  readonly isCertain: boolean;
};

export type EditorOptions = {
  readonly sql: postgres.Sql;
  readonly source: SourceProcess;
  readonly addresses: () => readonly string[];
  readonly random: Random;
  /** Part of every text that is written. */
  readonly canary: string;
};

export type Editor = {
  /** In the order in which they were made, of each row. */
  readonly writes: readonly LocalWrite[];
  /** Batches of edits and choices of a person, by ref: as many calls may follow. */
  readonly allowed: ReadonlyMap<string, number>;
  readonly counts: Record<string, number>;
  /** SQLSTATE of what the users' statements failed with. */
  readonly failures: Record<string, number>;
  /** One random edit on either side. */
  editOnce(): Promise<void>;
  /** One open conflict decided by a person, through a server. */
  resolveOne(): Promise<boolean>;
};

const FIELDS = ['name', 'amount', 'note', 'label'] as const;
type Field = (typeof FIELDS)[number];
const MAX_ROWS_AT_ONCE = 8;
const FIRST_AMOUNT = 1_000_000;
const HTTP_TIMEOUT_MS = 5_000;

export function createEditor({ sql, source, addresses, random, canary }: EditorOptions): Editor {
  const writes: LocalWrite[] = [];
  const allowed = new Map<string, number>();
  const counts: Record<string, number> = {};
  const failures: Record<string, number> = {};
  const refs: string[] = [];
  /** Edits of one row come one after the other, so that it is known which is the last. */
  const busy = new Set<string>();
  let made = 0;

  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  const pickRefs = (most: number): string[] => {
    const picked = new Set<string>();
    for (let left = most; left > 0 && refs.length > 0; left--) {
      const ref = refs[random.whole(0, refs.length - 1)];
      if (ref !== undefined && !busy.has(ref)) picked.add(ref);
    }
    return [...picked];
  };
  const newValue = (field: Field): string | number => {
    made += 1;
    if (field === 'amount') return FIRST_AMOUNT + made;
    return random.chance(0.1) && field === 'name' ? ` ${canary}-${made} ` : `${canary}-${made}`;
  };
  const note = (wanted: readonly LocalWrite[]) => {
    writes.push(...wanted);
    for (const ref of new Set(wanted.map((one) => one.ref))) allowed.set(ref, (allowed.get(ref) ?? 0) + 1);
  };
  /** `run` gives the refs whose rows were there. What failed may have been done all the same, if the connection broke. */
  const write = async (
    kind: string,
    wanted: readonly Omit<LocalWrite, 'isCertain'>[],
    run: () => Promise<readonly string[]>,
  ): Promise<void> => {
    const own = [...new Set(wanted.map(({ ref }) => ref))];
    for (const ref of own) busy.add(ref);
    try {
      const there = new Set(await run());
      note(wanted.filter(({ ref }) => there.has(ref)).map((one) => ({ ...one, isCertain: true })));
      if (there.size > 0) count(kind);
    } catch (error) {
      const code = z.object({ code: z.string() }).safeParse(error).data?.code ?? 'other';
      failures[code] = (failures[code] ?? 0) + 1;
      note(wanted.map((one) => ({ ...one, isCertain: false })));
    } finally {
      for (const ref of own) busy.delete(ref);
    }
  };
  const refsOf = (rows: readonly postgres.Row[]) => rows.map(({ ref }) => String(ref));

  async function insert(): Promise<void> {
    const ref = `l${++made}`;
    const row = {
      name: newValue('name'),
      amount: newValue('amount'),
      note: newValue('note'),
      label: newValue('label'),
    };
    const wanted = [
      { ref, field: 'row' as const, value: ref },
      ...FIELDS.map((field) => ({ ref, field, value: row[field] })),
    ];
    await write('insert', wanted, async () =>
      refsOf(
        await sql`INSERT INTO torture_items (external_id, ref, name, amount, note, label)
                  VALUES (${`new-${ref}`}, ${ref}, ${row.name}, ${row.amount}, ${row.note}, ${row.label}) RETURNING ref`,
      ),
    );
    refs.push(ref);
  }

  async function update(): Promise<void> {
    const [ref] = pickRefs(1);
    if (ref === undefined) return;
    const [field, other] = [random.pick(FIELDS), random.pick(FIELDS)];
    const set = new Map([
      [field, newValue(field)],
      [other, newValue(other)],
    ]);
    const wanted = [...set].map(([name, value]) => ({ ref, field: name, value }));
    await write('update', wanted, async () =>
      refsOf(await sql`UPDATE torture_items SET ${sql(Object.fromEntries(set))} WHERE ref = ${ref} RETURNING ref`),
    );
  }

  /** To another value and back, in one transaction or in two: an edit that is none, or one that is undone. */
  async function thereAndBack(): Promise<void> {
    const [ref] = pickRefs(1);
    if (ref === undefined) return;
    const value = newValue('name');
    await write('there and back', [{ ref, field: 'name', value }], () =>
      sql.begin(async (tx) => {
        const [row] = await tx`SELECT name FROM torture_items WHERE ref = ${ref} FOR UPDATE`;
        await tx`UPDATE torture_items SET name = ${value} WHERE ref = ${ref}`;
        return refsOf(await tx`UPDATE torture_items SET name = ${row?.name ?? null} WHERE ref = ${ref} RETURNING ref`);
      }),
    );
    // The value was there for nobody to see: what was there before is what counts.
    const last = writes.findLastIndex((one) => one.ref === ref && one.value === value);
    if (last >= 0) writes.splice(last, 1);
  }

  async function updateMany(): Promise<void> {
    const many = pickRefs(MAX_ROWS_AT_ONCE);
    const value = newValue('note');
    const wanted = many.map((ref) => ({ ref, field: 'note' as const, value }));
    await write('update of many', wanted, async () =>
      refsOf(await sql`UPDATE torture_items SET note = ${value} WHERE ref = ANY(${many}) RETURNING ref`),
    );
  }

  async function remove(): Promise<void> {
    const [ref] = pickRefs(1);
    if (ref === undefined) return;
    await write('delete', [{ ref, field: 'row', value: null }], async () =>
      refsOf(await sql`DELETE FROM torture_items WHERE ref = ${ref} RETURNING ref`),
    );
  }

  /** Through a server: the answer says whether it was done, unless it was lost. */
  async function patch(): Promise<void> {
    const [ref] = pickRefs(1);
    const live = addresses();
    const address = live[random.whole(0, Math.max(0, live.length - 1))];
    if (ref === undefined || address === undefined) return;
    const field = random.pick(FIELDS);
    const value = newValue(field);
    const [row] = await sql`SELECT external_id AS id FROM torture_items WHERE ref = ${ref}`.catch(() => []);
    if (row === undefined) return;
    await write('PATCH', [{ ref, field, value }], async () => {
      const response = await fetch(`${address}/records/torture/items/${encodeURIComponent(row.id)}`, {
        method: 'PATCH',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ [field]: value }),
        signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
      });
      await response.text();
      if (response.status >= 500) throw Object.assign(new Error('refused'), { code: String(response.status) });
      count(`PATCH answered ${response.status}`);
      return response.ok ? [ref] : [];
    });
  }

  async function atSource(edit: SourceEdit): Promise<void> {
    if (await source.edit(edit)) count(`${edit.op} at the source`);
  }
  async function editSource(): Promise<void> {
    const kind = random.whole(1, 20);
    if (kind <= 2) {
      const ref = `s${++made}`;
      const fields = { ref, name: `${canary}-${made}`, amount: made, note: null, label: null };
      await atSource({ op: 'create', fields });
      refs.push(ref);
      return;
    }
    const [ref] = pickRefs(1);
    if (ref === undefined) return;
    if (kind === 3) return await atSource({ op: 'delete', ref });
    const field = random.pick(FIELDS);
    await atSource({ op: 'update', ref, fields: { [field]: newValue(field) } });
  }

  const EDITS: readonly [() => Promise<void>, ...(() => Promise<void>)[]] = [
    update,
    ...Array<() => Promise<void>>(7).fill(update),
    ...Array<() => Promise<void>>(5).fill(editSource),
    ...Array<() => Promise<void>>(4).fill(patch),
    ...Array<() => Promise<void>>(3).fill(insert),
    thereAndBack,
    updateMany,
    remove,
  ];

  return {
    writes,
    allowed,
    counts,
    failures,
    editOnce: () => random.pick(EDITS)(),
    async resolveOne() {
      const [address] = addresses();
      const [open] = await sql`SELECT c.id, t.ref FROM sync.conflicts AS c
        LEFT JOIN torture_items AS t ON t.external_id = c.target_key WHERE c.outcome IS NULL ORDER BY random() LIMIT 1`;
      if (address === undefined || open === undefined) return open !== undefined;
      // Counted before it is asked for: it may be done although its answer is lost.
      if (open.ref !== null) allowed.set(open.ref, (allowed.get(open.ref) ?? 0) + 1);
      const response = await fetch(`${address}/conflicts/${open.id}/resolve`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ choose: random.pick(['local', 'remote'] as const) }),
        signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
      });
      count(`conflict resolved, answered ${response.status}`);
      await response.text();
      return true;
    },
  };
}
