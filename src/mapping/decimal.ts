import { Refusal } from './refusal.ts';

/** An exact decimal number: `0.` + nothing is lost, whatever its size. `digits` holds no sign and no point. */
export type Decimal = { readonly isNegative: boolean; readonly whole: string; readonly fraction: string };

/** Digits that a number may have once its exponent is written out. */
export const MAX_DECIMAL_DIGITS = 1_000;
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?$/;

/** Reads decimal text, exponents included. Null when it is none; a `Refusal` when it is too long to write out. */
export function parseDecimal(text: string): Decimal | null {
  if (text.length > MAX_DECIMAL_DIGITS * 2) throw tooLong();
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  const [, sign, whole = '', fraction = '', exponentText = '0'] = match;
  if (whole === '' && fraction === '') return null;
  const exponent = Number(exponentText);
  if (exponent === 0) return normal(sign === '-', whole, fraction);
  const digits = whole + fraction;
  if (/^0*$/.test(digits)) return normal(false, '', '');
  if (Math.abs(exponent) > MAX_DECIMAL_DIGITS) throw tooLong();
  const point = whole.length + exponent;
  if (point <= 0) return normal(sign === '-', '', '0'.repeat(-point) + digits);
  return normal(sign === '-', digits.slice(0, point).padEnd(point, '0'), digits.slice(point));
}

function normal(isNegative: boolean, whole: string, fraction: string): Decimal {
  const plainWhole = whole.replace(/^0+/, '');
  const plainFraction = fraction.replace(/0+$/, '');
  if (plainWhole.length + plainFraction.length > MAX_DECIMAL_DIGITS) throw tooLong();
  return {
    isNegative: isNegative && (plainWhole !== '' || plainFraction !== ''),
    whole: plainWhole,
    fraction: plainFraction,
  };
}

/** The one text of a number: no exponent, no needless zeros, no minus on zero. */
export const formatDecimal = ({ isNegative, whole, fraction }: Decimal): string =>
  `${isNegative ? '-' : ''}${whole === '' ? '0' : whole}${fraction === '' ? '' : `.${fraction}`}`;

/** Rounds to `scale` digits after the point, halves away from zero, as PostgreSQL's numeric does. A scale may be negative. */
export function roundDecimal(decimal: Decimal, scale: number): Decimal {
  const { isNegative, whole, fraction } = decimal;
  if (scale >= 0 && fraction.length <= scale) return decimal;
  const digits = whole + fraction;
  const cut = fraction.length - scale;
  if (cut > digits.length) return normal(false, '', '');
  const kept = digits.slice(0, digits.length - cut);
  const roundsUp = digits.charCodeAt(digits.length - cut) >= 53;
  const rounded = String(BigInt(kept === '' ? '0' : kept) + (roundsUp ? 1n : 0n)).padStart(Math.max(scale, 0), '0');
  if (scale <= 0) return normal(isNegative, rounded === '0' ? '' : rounded + '0'.repeat(-scale), '');
  return normal(isNegative, rounded.slice(0, rounded.length - scale), rounded.slice(rounded.length - scale));
}

/** Moves the point by `places` to the left (positive) or to the right. Exact. */
export function shiftDecimal({ isNegative, whole, fraction }: Decimal, places: number): Decimal {
  if (places >= 0) {
    const padded = whole.padStart(places, '0');
    const point = padded.length - places;
    return normal(isNegative, padded.slice(0, point), padded.slice(point) + fraction);
  }
  const padded = fraction.padEnd(-places, '0');
  return normal(isNegative, whole + padded.slice(0, -places), padded.slice(-places));
}

const tooLong = () => new Refusal('out_of_range', `a number of at most ${MAX_DECIMAL_DIGITS} digits`);
