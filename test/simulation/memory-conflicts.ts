import type { Conflict } from '../../src/model/conflict.ts';
import type { RecordTx } from '../../src/sync/record-store.ts';
import type { MemoryDeps, Recording } from './memory-store.ts';

/** Tokens that a record's look-up returns at most. */
const MAX_TOKENS = 20;

/** Change tokens and conflicts in memory. */
export function conflictsOf(
  { tables, clock, newId }: MemoryDeps,
  recording: Recording,
): Pick<
  RecordTx,
  | 'insertToken'
  | 'saveToken'
  | 'readToken'
  | 'tokensOf'
  | 'keepEcho'
  | 'countEchoes'
  | 'findEditKey'
  | 'saveEditKey'
  | 'openConflicts'
  | 'recordConflicts'
  | 'closeConflict'
> {
  const openOf = (targetKey: string): Conflict | null => {
    for (const one of tables.conflicts.rows.values())
      if (one.targetKey === targetKey && one.outcome === null) return one;
    return null;
  };
  return {
    async insertToken(token) {
      tables.tokens.set(token.id, token);
    },
    async saveToken(token) {
      const before = tables.tokens.get(token.id);
      tables.tokens.set(token.id, { ...token, echo: before?.echo ?? token.echo });
    },
    async keepEcho(tokenId, seen) {
      const token = tables.tokens.get(tokenId);
      if (token === undefined || token.state === 'rejected' || token.echo !== null) return;
      tables.tokens.set(tokenId, { ...token, echo: seen });
      for (const row of [...tables.pushes.rows.values()])
        if (row.tokenId === tokenId && row.state === 'parked' && row.op === 'create')
          tables.pushes.set(row.id, { ...row, state: 'unknown', parkReason: null, runAt: clock.at() });
    },
    async countEchoes(tokenIds) {
      for (const id of tokenIds) {
        const token = tables.tokens.get(id);
        if (token !== undefined) tables.tokens.set(id, { ...token, seenCount: token.seenCount + 1 });
      }
    },
    findEditKey: async () => null,
    saveEditKey: async () => true,
    readToken: async (id) => tables.tokens.get(id) ?? null,
    async tokensOf(ids) {
      const now = clock.at();
      const found = new Map<string, NonNullable<ReturnType<typeof tables.tokens.get>>[]>();
      for (const token of tables.tokens.rows.values()) {
        if (token.externalId === null || !ids.includes(token.externalId)) continue;
        if (token.expiresAt !== null && token.expiresAt <= now) continue;
        const own = found.get(token.externalId);
        if (own === undefined) found.set(token.externalId, [token]);
        else own.unshift(token);
      }
      for (const [id, own] of found) found.set(id, own.slice(0, MAX_TOKENS));
      return found;
    },
    async openConflicts(targetKeys) {
      const open = targetKeys.flatMap((key) => openOf(key) ?? []);
      return new Map(open.map((one) => [one.targetKey, one]));
    },
    async recordConflicts(conflicts) {
      recording.met.push(...conflicts);
      for (const conflict of conflicts) {
        const open = conflict.outcome === null ? openOf(conflict.targetKey) : null;
        const id = open?.id ?? newId();
        const createdAt = open?.createdAt ?? clock.at();
        const resolvedAt = conflict.outcome === null ? null : clock.at();
        tables.conflicts.set(id, { ...conflict, id, createdAt, resolvedAt, resolvedBy: null });
      }
    },
    async closeConflict(id, outcome, by) {
      const conflict = tables.conflicts.get(id);
      if (conflict === undefined) return;
      if (by === 'operator') recording.decided.push(conflict);
      tables.conflicts.set(id, { ...conflict, outcome, resolvedAt: clock.at(), resolvedBy: by });
    },
  };
}
