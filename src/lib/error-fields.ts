const MAX_CAUSES = 5;
const MAX_FRAMES = 20;
/** Codes, class names, names of the schema. Longer or odder text is no name. */
const NAME = /^[\p{L}\p{N}_$. -]{1,128}$/u;
const FRAME = /^\s+at \S.*(?::\d+:\d+\)?|\(native\)|<anonymous>\)?)$/;
const NAMED = ['code', 'statusCode', 'schema', 'table', 'column', 'constraint'] as const;

/** What a log line says of an error. */
export type ErrorFields = { readonly [name: string]: unknown };

/**
 * An error as a log may show it: its class, codes, names of the schema, where it was thrown, and the same of its causes.
 * Its message is left out, since other people's messages quote what they choked on: a payload, a row, a statement.
 */
export function errorFields(error: unknown): ErrorFields {
  return describe(error, 0);
}

function describe(error: unknown, depth: number): ErrorFields {
  if (!(error instanceof Error)) return { type: typeof error };
  const fields: { [name: string]: unknown } = { type: NAME.test(error.name) ? error.name : 'Error' };
  for (const name of NAMED) {
    const value: unknown = Reflect.get(error, name);
    if (typeof value === 'number' || (typeof value === 'string' && NAME.test(value))) fields[name] = value;
  }
  fields.stack = framesOf(error);
  if (error.cause !== undefined && depth < MAX_CAUSES) fields.cause = describe(error.cause, depth + 1);
  return fields;
}

/** A message may hold lines that look like frames, so it is cut off as a whole; where it cannot be found nothing is shown. */
function framesOf({ stack, message }: Error): string[] {
  if (typeof stack !== 'string') return [];
  const start = stack.indexOf(message);
  if (start < 0) return [];
  return stack
    .slice(start + message.length)
    .split('\n')
    .filter((line) => FRAME.test(line))
    .slice(0, MAX_FRAMES)
    .map((line) => line.trim());
}
