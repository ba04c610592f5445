import type { z } from 'zod';
import type { BatchResult } from './batch.ts';
import type { EndpointCallOptions } from './call-endpoint.ts';
import type { AnyEndpoints, EndpointDefinition } from './endpoint.ts';

/** What may be given with every call; all of it may be left out. */
export type ClientCallOptions = Partial<Omit<EndpointCallOptions, 'lane'>>;

/** Names in the braces of a path. Of a path that the types do not know: any. */
type PathNames<Path extends string> = string extends Path
  ? never
  : Path extends `${string}{${infer Name}}${infer Rest}`
    ? (Name extends `+${infer Kept}` ? Kept : Name) | PathNames<Rest>
    : never;

type PathValues<Path extends string, Given extends string> = {
  readonly [Name in Exclude<PathNames<Path>, Given>]: string | number;
} & { readonly [Name in Extract<PathNames<Path>, Given>]?: string | number };

type InputOf<Schema> = [Schema] extends [z.ZodType] ? z.input<Schema> : unknown;
type OutputOf<Schema> = [Schema] extends [z.ZodType] ? z.output<Schema> : unknown;
type Has<Part> = [Part] extends [never] ? false : true;

type Content<Form extends EndpointDefinition> =
  Has<NonNullable<Form['batch']>> extends true
    ? { readonly items: readonly InputOf<NonNullable<Form['body']>>[] }
    : Has<NonNullable<Form['body']>> extends true
      ? { readonly body: InputOf<NonNullable<Form['body']>> }
      : unknown;

type ParamsOf<Form extends EndpointDefinition> =
  Has<NonNullable<Form['params']>> extends true ? InputOf<NonNullable<Form['params']>> : unknown;

/** Checked for each call: only endpoints that declare them take these. */
type Extras = { readonly ifMatch?: string; readonly idempotencyKey?: string };

type Flat<T> = { [Key in keyof T]: T[Key] };
type ArgumentsOf<Form extends EndpointDefinition, Given extends string> = string extends Form['path']
  ? { readonly [name: string]: unknown }
  : Flat<PathValues<Form['path'], Given> & ParamsOf<Form> & Content<Form> & Extras>;

type ItemOf<List> = List extends readonly (infer Item)[] ? Item : unknown;

type ResultOf<Form extends EndpointDefinition> =
  Has<NonNullable<Form['list']>> extends true
    ? AsyncGenerator<ItemOf<OutputOf<NonNullable<Form['response']>>>, void, undefined>
    : Has<NonNullable<Form['batch']>> extends true
      ? Promise<readonly BatchResult<OutputOf<NonNullable<Form['response']>>>[]>
      : Promise<OutputOf<NonNullable<Form['response']>>>;

/** One declared endpoint as a function. `Given` are the placeholders that the source's `params` fill. */
export type EndpointFunction<Form extends EndpointDefinition, Given extends string> =
  object extends ArgumentsOf<Form, Given>
    ? (given?: ArgumentsOf<Form, Given>, options?: ClientCallOptions) => ResultOf<Form>
    : (given: ArgumentsOf<Form, Given>, options?: ClientCallOptions) => ResultOf<Form>;

export type EndpointFunctions<Forms extends AnyEndpoints, Given extends string> = {
  readonly [Name in keyof Forms]: Forms[Name] extends EndpointDefinition ? EndpointFunction<Forms[Name], Given> : never;
};
