import type { NewConflict } from '../../src/model/conflict.ts';
import { addMs } from '../../src/model/instant.ts';
import type { LocalEdit } from './users.ts';
import type { Invariant } from './violations.ts';

/**
 * Where the newest value wins, a row's stands only if somebody edited the row after the source's change, for all that
 * their clocks may be apart; and it does stand then. When anybody looked at either is no matter.
 */
export function checkNewest(
  { policy, kind, outcome, remoteVersion, externalId, targetKey, fields, local }: NewConflict,
  { edits, refOf, skewMs }: { edits: readonly LocalEdit[]; refOf: (key: string) => string | null; skewMs: number },
  report: (invariant: Invariant, detail: string) => void,
): void {
  if (policy !== 'newest_wins' || remoteVersion === null || outcome === 'superseded' || outcome === null) return;
  const names = new Set([targetKey, externalId, refOf(targetKey)]);
  const own = edits.filter(({ key, row }) => names.has(key) || names.has(row));
  const since = addMs(Number(remoteVersion), skewMs);
  if (outcome === 'local' && !own.some(({ at }) => at > since))
    report('I9', `${targetKey}: the value of ${fields} stands, and the source's is newer`);
  const isNewer = own.some(({ at, field, value }) => at > since && field !== null && local?.[field] === value);
  if (kind === 'both_changed' && outcome === 'remote' && fields.some((field) => own.some((one) => one.field === field)))
    if (isNewer && own.some(({ at, field }) => at > since && field !== null && fields.includes(field)))
      report('I9', `${targetKey}: the value of ${fields} is newer than the source's, and does not stand`);
}
