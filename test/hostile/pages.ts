import { FINE, type Misbehaviour, type Strike, sendJson, sendText } from './strike.ts';

const CURSOR = /^(\w+?)-(\d+)$/;

/** Pages of one item; `next` says which cursor follows the page at this number, counted from 0. */
const pages =
  (next: (at: number, strike: Strike) => string | null): Misbehaviour =>
  (strike) => {
    const at = Number(CURSOR.exec(strike.url.searchParams.get('cursor') ?? 'c-0')?.[2] ?? 0);
    sendJson(strike, { data: [{ id: `r${at}` }], next: next(at, strike) });
  };

const cycleOf = ({ url }: Strike): number => Number(url.searchParams.get('length') ?? 3);

/** Puts the origins where a link's template names them. */
const fill = (template: string | null, { own, foreign }: Strike): string => {
  const [ownUrl, foreignUrl] = [new URL(own), new URL(foreign)];
  return (template ?? '')
    .replaceAll('{own}', ownUrl.host)
    .replaceAll('{ownPort}', ownUrl.port)
    .replaceAll('{foreign}', foreignUrl.host)
    .replaceAll('{foreignPort}', foreignUrl.port);
};

/** Where a listing is led astray. */
export const pageTraps: Readonly<Record<string, Misbehaviour>> = {
  '/pages/self': pages(() => 'c-0'),
  '/pages/cycle': pages((at, strike) => `c-${(at + 1) % cycleOf(strike)}`),
  '/pages/endless': pages((at) => `c-${at + 1}`),
  '/pages/object-cursor': pages((at) => (at === 0 ? 'c-1' : null)),
  '/pages/long-cursor': (strike) => sendJson(strike, { data: [], next: 'x'.repeat(1_000_000) }),
  '/pages/cursor-of-objects': (strike) => sendJson(strike, { data: [], next: { page: 2 } }),
  /** Says 410 to the cursor of the third page. */
  '/pages/expired': (strike) => {
    if (strike.url.searchParams.get('cursor') === 'c-2') return sendText(strike, 410, '{}');
    pages((at) => `c-${at + 1}`)(strike);
  },
  /** Twenty pages without an item, and the records behind them. */
  '/pages/empty-then-full': (strike) => {
    const at = Number(CURSOR.exec(strike.url.searchParams.get('cursor') ?? 'c-0')?.[2] ?? 0);
    sendJson(strike, { data: at < 20 ? [] : [{ id: 'last' }], next: at < 20 ? `c-${at + 1}` : null });
  },
  '/link': (strike) =>
    sendJson(strike, FINE, { link: `<${fill(strike.url.searchParams.get('to'), strike)}>; rel="next"` }),
  '/link/raw': (strike) => sendJson(strike, FINE, { link: strike.url.searchParams.get('to') ?? '' }),
  '/link/in-body': (strike) => sendJson(strike, { data: FINE, next: fill(strike.url.searchParams.get('to'), strike) }),
  '/redirect': (strike) =>
    sendText(strike, Number(strike.url.searchParams.get('code') ?? 307), '{}', {
      location: fill(strike.url.searchParams.get('to'), strike),
    }),
  '/redirect/loop': (strike) => sendText(strike, 302, '{}', { location: strike.url.pathname + strike.url.search }),
  '/redirect/endless': (strike) => {
    strike.url.searchParams.set('step', String(strike.index));
    sendText(strike, 302, '{}', { location: strike.url.pathname + strike.url.search });
  },
  '/redirect/nowhere': (strike) => sendText(strike, 302, '{}'),
};
