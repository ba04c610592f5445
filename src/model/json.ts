/** A value that JSON can carry. Undefined is never one: a missing key is missing, not undefined. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
