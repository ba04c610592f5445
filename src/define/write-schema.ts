import { z } from 'zod';
import { pathSchema } from '../lib/path-schema.ts';
import { CONFLICT_POLICIES } from '../model/conflict.ts';
import { headersSchema, jsonObjectSchema, querySchema, templateSchema } from '../source/definition.ts';
import { failuresSchema } from '../source/failure/definition.ts';
import { HEADER_NAME_SYNTAX, isSettableHeader } from '../source/header.ts';
import { placeholdersOf } from '../source/path-template.ts';
import { durationSchema, durationWithin, fieldPathSchema } from './value-schemas.ts';
import type { PolicyChoice } from './write.ts';

const HOUR_MS = 3_600_000;
const MONTH_MS = 31 * 24 * HOUR_MS;
const MAX_CALLS = 1_000;

const form = {
  path: templateSchema,
  query: querySchema.optional(),
  headers: headersSchema.optional(),
  body: jsonObjectSchema.optional(),
  failures: failuresSchema.optional(),
};
const fields = {
  sends: z.enum(['changes', 'record']).optional(),
  bodyAt: pathSchema.optional(),
  record: pathSchema.optional(),
  answers: z.enum(['record', 'nothing']).optional(),
};
const ifMatch = { ifMatch: z.union([z.boolean(), z.enum(['etag', 'version'])]).optional() };
const documentSchema = z.string().min(1);

const updateSchema = z
  .strictObject({
    ...form,
    ...fields,
    ...ifMatch,
    method: z.enum(['PATCH', 'PUT', 'POST']).optional(),
    graphql: z
      .strictObject({ query: documentSchema, idVariable: fieldPathSchema, fieldsVariable: fieldPathSchema.optional() })
      .optional(),
  })
  .superRefine(checkId)
  .superRefine(checkFields);

const createSchema = z
  .strictObject({
    ...form,
    ...fields,
    method: z.enum(['POST', 'PUT']).optional(),
    graphql: z.strictObject({ query: documentSchema, fieldsVariable: fieldPathSchema.optional() }).optional(),
    nulls: z.enum(['send', 'omit']).optional(),
    id: fieldPathSchema.optional(),
  })
  .superRefine((create, context) => {
    if (placeholdersOf(create.path).includes('id')) {
      add(context, 'path', 'a create has no `{id}`: the source gives the record its id');
    }
    if (create.id !== undefined && create.record !== undefined) {
      add(context, 'id', 'cannot stand beside `record`, which shows the id');
    }
    checkFields(create, context);
  });

const deleteSchema = z
  .strictObject({
    ...form,
    ...ifMatch,
    method: z.enum(['DELETE', 'POST', 'PUT', 'PATCH']).optional(),
    graphql: z.strictObject({ query: documentSchema, idVariable: fieldPathSchema }).optional(),
  })
  .superRefine(checkId)
  .superRefine(checkMethod);

type Checked = {
  readonly path: string;
  readonly method?: string | undefined;
  readonly graphql?: { readonly query: string } | undefined;
  readonly record?: string | undefined;
  readonly answers?: string | undefined;
  readonly id?: string | undefined;
  readonly bodyAt?: string | undefined;
};

const add = (context: z.RefinementCtx, path: string, message: string) =>
  context.addIssue({ code: 'custom', message, path: [path] });

function checkId({ path, graphql }: Checked, context: z.RefinementCtx): void {
  const hasId = placeholdersOf(path).includes('id');
  if (graphql === undefined && !hasId) {
    add(context, 'path', "expected `{id}` where the record's id goes, such as /customers/{id}");
  }
  if (graphql !== undefined && hasId) add(context, 'path', 'cannot have `{id}` beside graphql.idVariable');
}

function checkMethod({ graphql, method }: Checked, context: z.RefinementCtx): void {
  if (graphql !== undefined && method !== undefined && method !== 'POST') {
    add(context, 'method', 'GraphQL is sent as POST');
  }
}

function checkFields(checked: Checked, context: z.RefinementCtx): void {
  checkMethod(checked, context);
  const { graphql, record, answers, id, bodyAt } = checked;
  if (answers === 'nothing' && record !== undefined) add(context, 'record', "cannot stand beside answers: 'nothing'");
  if (graphql !== undefined && bodyAt !== undefined) {
    add(context, 'bodyAt', 'is for bodies; of `graphql` it is fieldsVariable');
  }
  if (graphql !== undefined && record === undefined && answers !== 'nothing' && id === undefined) {
    add(context, 'record', "is missing: expected the record's path in the answer, such as data.update.customer");
  }
}

const plainPolicySchema = z.enum(CONFLICT_POLICIES);
const mergeSchema = z.union([z.literal('merge'), z.strictObject({ merge: plainPolicySchema })]);
const policySchema = z.custom<PolicyChoice>((choice) => plainPolicySchema.or(mergeSchema).safeParse(choice).success, {
  error: `expected one of ${CONFLICT_POLICIES.join(', ')}, or merge, or { merge: one of the others }`,
});
const propertiesSchema = z.array(z.string()).optional();

export const writeSchema = z.strictObject({
  update: updateSchema.optional(),
  create: createSchema.optional(),
  delete: deleteSchema.optional(),
  conflict: policySchema.optional(),
  fields: z.record(z.string(), policySchema).optional(),
  readOnly: propertiesSchema,
  createOnly: propertiesSchema,
  adopt: z.enum(['source_wins', 'target_wins']).optional(),
  localDeletes: z.enum(['restore', 'push', 'detach']).optional(),
  massDelete: z
    .strictObject({ maxShare: z.number().min(0).max(1).optional(), minimum: z.int().min(0).optional() })
    .optional(),
  mode: z.enum(['target-first', 'source-first']).optional(),
  debounce: durationWithin(0, HOUR_MS, 'up to 1h, such as 200ms').optional(),
  idempotency: z
    .strictObject({
      header: z.string().refine(isSettableHeader, `expected ${HEADER_NAME_SYNTAX}`),
      ttl: durationWithin(1, MONTH_MS, 'over 0 and up to 31d, such as 24h').optional(),
    })
    .optional(),
  marker: z.strictObject({ field: fieldPathSchema, searchParam: z.string().min(1).optional() }).optional(),
  onUnknownCreate: z.enum(['park', 'retry']).optional(),
  budget: z
    .strictObject({
      calls: z.int().min(1).max(MAX_CALLS),
      per: durationWithin(1_000, 24 * HOUR_MS, 'from 1s to 1d, such as 10m'),
    })
    .optional(),
  clockSkew: durationSchema.optional(),
});

export type CheckedWrite = z.output<typeof writeSchema>;
