import { z } from 'zod';
import { Refusal } from './refusal.ts';

/**
 * One step from what the source sends to what the column takes. A step never sees null or a missing value: those pass by
 * it. `decode` throws a `Refusal` on a value that it does not take; anything else it throws is the step's own fault.
 */
export type Transform<In = unknown, Out = unknown> = {
  readonly kind: 'transform';
  /** For the mapping's fingerprint: two transforms with the same text do the same. */
  readonly signature: string;
  /** Present where the step also knows the way back. It decodes by the same function as `decode`. */
  readonly codec: z.ZodType<Out, In> | null;
  /** What it gives is a time in canonical form, which a column of full precision takes as it is: reading it again costs most. */
  readonly givesInstant?: boolean;
  decode(value: In): Out;
};

/** A step that can run backwards, from the column's value to the source's. */
export type TwoWay<In, Out> = Transform<In, Out> & {
  readonly codec: z.ZodType<Out, In>;
  /** Throws as `decode` does. What it gives decodes to the same again, once the source has settled on a spelling. */
  encode(value: Out): In;
  /** It makes one value of several spellings, so that two values of the source can become the same. */
  readonly settles?: boolean;
  /**
   * Whether the schema leaves open in which of several forms the source writes such values, so that any of them could be
   * wrong. It is asked with what the source can send.
   */
  isAmbiguous?(takes: (value: unknown) => boolean): boolean;
};

type TwoWayForm<In, Out> = {
  readonly signature: string;
  readonly givesInstant?: boolean;
  readonly settles?: boolean;
  readonly from: z.ZodType<In, In>;
  readonly to: z.ZodType<Out, Out>;
  /** Checks the kind of its input itself: the fast path calls it without the schema. */
  readonly decode: (value: In) => Out;
  /** Checks the kind of its input itself, too. */
  readonly encode: (value: Out) => In;
  readonly isAmbiguous?: (takes: (value: unknown) => boolean) => boolean;
};

/** A two-way transform as a zod codec, whose functions also serve directly: zod's own path costs more than the work. */
export function twoWay<In, Out>(form: TwoWayForm<In, Out>): TwoWay<In, Out> {
  const { signature, decode, encode, isAmbiguous, givesInstant = false, settles = false } = form;
  const codec = z.codec(form.from, form.to, {
    decode: (value, context) => orIssue(() => decode(value), value, context),
    encode: (value, context) => orIssue(() => encode(value), value, context),
  });
  const ambiguity = isAmbiguous === undefined ? {} : { isAmbiguous };
  return { kind: 'transform', signature, codec, decode, encode, givesInstant, settles, ...ambiguity };
}

export const isTwoWay = (step: object): step is TwoWay<unknown, unknown> =>
  'encode' in step && typeof step.encode === 'function';

/** A transform that knows no way back. */
export const oneWay = <In, Out>(signature: string, decode: (value: In) => Out): Transform<In, Out> => ({
  kind: 'transform',
  signature,
  codec: null,
  decode,
});

function orIssue<Out>(run: () => Out, input: unknown, context: z.core.ParsePayload): Out {
  try {
    return run();
  } catch (error) {
    if (!Refusal.isRefusal(error)) throw error;
    context.issues.push({ code: 'custom', message: error.message, input });
    return z.NEVER;
  }
}
