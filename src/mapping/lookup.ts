import type { z } from 'zod';
import { mustParsePath, pathSchema } from '../lib/path-schema.ts';
import type { JsonValue } from '../model/json.ts';
import { Refusal } from './refusal.ts';
import type { Transform } from './transform.ts';

/** What an id is looked up in: entries of a list, found by one of their values, of which another is taken. */
export type LookupForm = {
  /** Name of an endpoint, or else of an entity, of the same integration. */
  readonly from: string;
  /** Dot path in an entry to the id. */
  readonly by: string;
  /** Dot path in an entry to what is taken. */
  readonly take: string;
};

/** A step that resolves an id. Its table is given to the mapper; where there is none it refuses. */
export type Lookup<Out = unknown> = Transform<string | number, Out> & {
  readonly lookup: LookupForm;
  /** In place of an id that the list does not have. */
  readonly otherwise: JsonValue;
  readonly as: z.ZodType | null;
};

/** What a table says of an id. `unsettled`: there is no table yet, or it may be from before the id was given out. */
export type LookupResult =
  | { readonly kind: 'found'; readonly value: unknown }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unsettled' };

/** Reads from tables that were loaded before: at once, without waiting for anything. */
export type LookupReader = (form: LookupForm, id: string) => LookupResult;

/** For mappers that are only checked, or have no lookups. */
export const NO_TABLES: LookupReader = () => ({ kind: 'unsettled' });

type LookupOptions<Out, Otherwise> = {
  readonly by: string;
  readonly take: string;
  /** Default null. */
  readonly otherwise?: Otherwise;
  /** What is taken must fit it. Default: text. */
  readonly as?: z.ZodType<Out>;
};

/**
 * An id as what a list says of it: `field('assignee_id', lookup('users', { by: 'id', take: 'name' }))`. An id that is not
 * in the list even after it was read anew becomes `otherwise`; an entry without a value there becomes null.
 */
export const lookup = <Out = string, const Otherwise extends string | number | boolean | null = null>(
  from: string,
  { by, take, otherwise, as }: LookupOptions<Out, Otherwise>,
): Lookup<Out | Otherwise> => ({
  kind: 'transform',
  signature: `lookup(${JSON.stringify([from, by, take, otherwise ?? null, as === undefined ? null : as._zod.def.type])})`,
  codec: null,
  decode: () => {
    throw unavailable(from);
  },
  lookup: { from, by, take },
  otherwise: otherwise ?? null,
  as: as ?? null,
});

export const isLookup = (step: object): step is Lookup =>
  'lookup' in step && typeof step.lookup === 'object' && step.lookup !== null;

/** The step with its table: what the mapper runs. */
export function bindLookup<Step extends Transform>(step: Step, read: LookupReader): Step | Transform {
  if (!isLookup(step)) return step;
  const { lookup: form, otherwise, as } = step;
  return { ...step, decode: (id: unknown) => decodeId(form, otherwise, as, read, id) };
}

function decodeId(
  form: LookupForm,
  otherwise: JsonValue,
  as: z.ZodType | null,
  read: LookupReader,
  id: unknown,
): unknown {
  if (typeof id !== 'string' && typeof id !== 'number') throw new Refusal('wrong_kind', 'an id: text or a number');
  const result = read(form, String(id));
  if (result.kind === 'unsettled') throw unavailable(form.from);
  if (result.kind === 'missing') return otherwise;
  const { value } = result;
  if (value === null || value === undefined) return null;
  if (as === null) {
    if (typeof value === 'string') return value;
    throw new Refusal('wrong_kind', `text at ${form.take} of ${form.from}`);
  }
  const parsed = as.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Refusal('bad_value', `what lookup('${form.from}') may take at ${form.take}`);
}

const unavailable = (from: string): Refusal =>
  new Refusal('lookup_unavailable', `${from} to be looked up in: its list is not there`);

/** The lookups among a column's steps, as they stand in an unchecked definition. */
export function lookupsOf(column: unknown): readonly LookupForm[] {
  if (typeof column !== 'object' || column === null || !('steps' in column) || !Array.isArray(column.steps)) return [];
  return column.steps.flatMap((step: unknown) =>
    typeof step === 'object' && step !== null && isLookup(step) ? [step.lookup] : [],
  );
}

/** Whether the paths of a lookup are paths. */
export const isSoundLookup = ({ by, take }: LookupForm): boolean =>
  by !== '' && pathSchema.safeParse(by).success && pathSchema.safeParse(take).success;

/** Where a lookup's id and value stand in an entry. */
export const pathsOf = ({ by, take }: LookupForm) => ({ by: mustParsePath(by), take: mustParsePath(take) });
