import { z } from 'zod';
import { Refusal } from '../refusal.ts';
import { type TwoWay, twoWay } from '../transform.ts';

type Choice = string | number | boolean;
type Choices = { readonly [value: string]: Choice };
const MAX_NAMED_CHOICES = 10;

/**
 * One value for another, by name. A value that is not named becomes `otherwise`, or is refused where there is none. The
 * way back refuses what `otherwise` or several names gave. Null stays null.
 */
export function oneOf<const Named extends Choices, const Otherwise extends Choice = never>(
  choices: Named,
  options: { readonly otherwise?: Otherwise } = {},
): TwoWay<Choice, Named[keyof Named] | Otherwise> {
  type Out = Named[keyof Named] | Otherwise;
  const forth = new Map<string, Out>();
  for (const name in choices) if (Object.hasOwn(choices, name)) forth.set(name, choices[name]);
  const { otherwise } = options;
  const names = [...forth.keys()];
  const expected = `one of ${listed(names)}`;
  const reversible = [...forth.values()].filter((choice, _, all) => all.indexOf(choice) === all.lastIndexOf(choice));
  const expectedBack = `one of ${listed(reversible)}, each of which one name gives`;
  return twoWay<Choice, Out>({
    signature: `oneOf(${JSON.stringify([choices, options])})`,
    from: z.union([z.string(), z.number(), z.boolean()]),
    to: z.custom<Out>((value) => value === otherwise || [...forth.values()].some((choice) => choice === value)),
    decode(value) {
      if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
        throw new Refusal('wrong_kind', expected);
      }
      const choice = forth.get(String(value)) ?? otherwise;
      if (choice === undefined) throw new Refusal('bad_value', expected);
      return choice;
    },
    encode(value) {
      const sources = [...forth].filter(([, choice]) => choice === value);
      const [only] = sources;
      if (only === undefined || sources.length > 1) throw new Refusal('bad_value', expectedBack);
      return only[0];
    },
  });
}

const listed = (choices: readonly Choice[]): string =>
  `${choices.slice(0, MAX_NAMED_CHOICES).join(', ')}${choices.length > MAX_NAMED_CHOICES ? ', …' : ''}`;
