import { z } from 'zod';
import { parsePath, readPath } from '../lib/path.ts';
import { pathSchema } from '../lib/path-schema.ts';
import { type Headers, headerNamesSchema, readFirstHeader } from './headers.ts';

/**
 * Where a short text stands. `header`: the first of these headers that came. `body`: a dot path in the whole parsed body.
 * `event`: a dot path in one event, which is an entry of the batch, or the body itself where there is no batch.
 */
export const locatorSchema = z.discriminatedUnion('from', [
  z.strictObject({ from: z.literal('header'), names: headerNamesSchema }),
  z.strictObject({ from: z.literal('body'), path: pathSchema }),
  z.strictObject({ from: z.literal('event'), path: pathSchema }),
]);
export type Locator = z.input<typeof locatorSchema>;
export type HeaderLocator = Extract<Locator, { from: 'header' }>;

export const inHeader = (...names: string[]): HeaderLocator => ({ from: 'header', names });
export const inBody = (path: string): Locator => ({ from: 'body', path });
export const inEvent = (path: string): Locator => ({ from: 'event', path });

/** Reads one text; null when it is not there or of another kind. A safe integer counts as its digits. */
export type TextReader = (source: TextSource) => string | null;
export type TextSource = {
  readonly headers: Headers;
  /** Each called only by a locator that needs it. Undefined: could not be read. */
  readonly body: () => unknown;
  readonly event: () => unknown;
};

/** Prepares a locator that its schema has accepted. */
export function prepareLocator(locator: z.output<typeof locatorSchema>): TextReader {
  if (locator.from === 'header') return (source) => readFirstHeader(source.headers, locator.names);
  const path = parsePath(locator.path);
  if (path === null) return () => null;
  const isBody = locator.from === 'body';
  return (source) => {
    const read = readPath(isBody ? source.body() : source.event(), path);
    return read.found ? textOf(read.value) : null;
  };
}

/** A text, or a safe integer as its digits. */
export function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return Number.isSafeInteger(value) ? String(value) : null;
}
