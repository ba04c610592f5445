import type { Outcome, Sighted } from '../../src/model/apply.ts';
import type { Content } from '../../src/model/observation.ts';
import { type Folded, foldRecord } from '../../src/sync/fold.ts';
import { isSameContent, keyOf } from './shape.ts';
import type { Apply } from './worker.ts';

/**
 * `applyBatch` of a mirror, over the port instead of SQL: the decisions are those of `foldRecord`, carried out in the same
 * order. What it saves by reading states before it locks them is left out.
 */
export const applyMirror: Apply = async (tx, stream, sighted, { repairs }) => {
  const groups = new Map<string, Sighted[]>();
  for (const one of sighted) groups.set(one.seen.externalId, [...(groups.get(one.seen.externalId) ?? []), one]);
  const states = await tx.lockStates([...groups.keys()]);
  const now = await tx.now();
  const folded = [...groups].map(([id, group]) => foldRecord(stream, states.get(id) ?? null, group, now));
  const damaged = repairs ? await findDamaged(tx, folded) : [];
  await tx.saveStates(folded.flatMap(({ state }) => state ?? []));
  const leaving = folded.flatMap(({ effect, leftKeys }) =>
    effect === null ? [] : effect.kind === 'delete' ? [effect.targetKey, ...leftKeys] : leftKeys,
  );
  await tx.removeRows(leaving);
  const upserts = folded.flatMap(({ effect }) => (effect?.kind === 'upsert' ? [effect.content] : []));
  await tx.writeRows([...upserts, ...damaged.flatMap(contentOf)]);
  for (const one of damaged) one.markRepaired();
  await tx.wantReads(folded.flatMap(({ hints }) => hints));
  await tx.appendHistory(folded.flatMap(({ history }) => history));
  await tx.supersede(folded.flatMap(({ settled }) => settled));
  const outcomes = new Map<Sighted, Outcome>(folded.flatMap((one) => [...one.outcomes]));
  return sighted.map((one) => outcomes.get(one) ?? { kind: 'noop' });
};

/** Records unchanged at the source whose row is not what we wrote. */
async function findDamaged(tx: Parameters<Apply>[0], folded: readonly Folded[]): Promise<Folded[]> {
  const unchanged = folded.filter(({ last, content }) => last === 'noop' && content !== null);
  const rows = await tx.lockRows(unchanged.flatMap(contentOf).map(keyOf));
  return unchanged.filter(({ content }) => content !== null && !isWritten(rows.get(keyOf(content)), content));
}

const contentOf = ({ content }: Folded): Content[] => (content === null ? [] : [content]);

const isWritten = (row: Content | undefined, content: Content): boolean =>
  row !== undefined && isSameContent(row, content);
