declare const instantBrand: unique symbol;
declare const dayBrand: unique symbol;

/** A moment as canonical text: UTC, `2024-02-29T12:00:00.123456Z`, without trailing zeros in the fraction. */
export type IsoInstant = string & { readonly [instantBrand]: true };
/** A calendar day as text, `2024-02-29`. */
export type IsoDay = string & { readonly [dayBrand]: true };
