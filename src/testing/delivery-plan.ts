import type { Random } from './random.ts';
import type { Settings } from './settings.ts';

/** What happens to one event on its way out. */
export type DeliveryPlan = {
  readonly main:
    | { readonly kind: 'lost' }
    | { readonly kind: 'sent' }
    | { readonly kind: 'delayed'; readonly ms: number }
    /** Goes out after this many later ones. */
    | { readonly kind: 'held'; readonly behind: number };
  /** A second copy under the same id, this much later; none when null. */
  readonly duplicateAfterMs: number | null;
  readonly isForgedToo: boolean;
  readonly isStaleToo: boolean;
};

const MAX_HELD_BEHIND = 8;

export function planDelivery(settings: Settings, random: Random): DeliveryPlan {
  const delayMs = () => random.whole(0, settings.webhookMaxDelayMs);
  const planMain = (): DeliveryPlan['main'] => {
    if (random.chance(settings.webhookLoss)) return { kind: 'lost' };
    if (random.chance(settings.webhookDelay)) return { kind: 'delayed', ms: delayMs() };
    if (random.chance(settings.webhookReorder)) return { kind: 'held', behind: random.whole(1, MAX_HELD_BEHIND) };
    return { kind: 'sent' };
  };
  const main = planMain();
  const isDoubled = main.kind !== 'lost' && random.chance(settings.webhookDuplicate);
  return {
    main,
    duplicateAfterMs: isDoubled ? delayMs() : null,
    isForgedToo: random.chance(settings.webhookForged),
    isStaleToo: random.chance(settings.webhookStale),
  };
}
