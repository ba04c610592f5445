export const quote = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`;

export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Of a push named `w`: it waits, with its row, for a person to decide a conflict. That is no work that is left. */
export const HELD_BY_CONFLICT = `(w.state = 'ready' AND EXISTS (
  SELECT 1 FROM sync.conflicts AS c WHERE c.outcome IS NULL
    AND c.integration = w.integration AND c.entity = w.entity AND c.target_key = w.target_key))`;
