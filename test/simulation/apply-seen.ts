import type { Outcome, Sighted } from '../../src/model/apply.ts';
import type { Observation } from '../../src/model/observation.ts';
import { blankState } from '../../src/model/record-state.ts';
import type { RecordTx } from '../../src/sync/record-store.ts';
import type { WorkerDeps } from './worker.ts';

const otherwise = ({ inboxId, correlationId, isLastAttempt }: Sighted, seen: Observation): Sighted => ({
  seen,
  record: null,
  inboxId,
  correlationId,
  isLastAttempt,
});

/** Applies what was seen, counts what became of it, and lets a mutant change what it looks like. */
export async function applySeen(
  tx: RecordTx,
  { stream, apply, rules, tables, figures }: WorkerDeps,
  sighted: readonly Sighted[],
  options: { readonly repairs: boolean },
): Promise<readonly Outcome[]> {
  const shown = sighted.flatMap((one) => {
    const seen = rules.see(one.seen, tables.states.get(one.seen.externalId) ?? blankState(one.seen.externalId), [
      ...tables.tokens.rows.values(),
    ]);
    return seen === null ? [] : [seen === one.seen ? one : otherwise(one, seen)];
  });
  const outcomes = await apply(tx, stream(), shown, options);
  for (const { kind } of outcomes) figures.count(`decision ${kind}`);
  return outcomes;
}
