/** Marks the end of an exhaustive switch: the compiler refuses to call it while a case is missing. */
export function assertNever(value: never): never {
  throw new TypeError(`Unexpected case: ${JSON.stringify(value)}`);
}
