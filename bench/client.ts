import { type Child, startChild } from './children.ts';
import { type ClientOrder, type ClientReport, VARIANTS, type Variant } from './client-process.ts';
import { atMost, median } from './report.ts';
import type { Setting } from './setting.ts';

/** Pages of one measurement by their size, so that each takes about as long. */
const PAGES = new Map([
  [10, 2_000],
  [100, 1_000],
  [1_000, 150],
]);
/** Ratios of processor time within one round are noisy on a machine that is shared: the median of this many is told. */
const ROUNDS = 5;
const MEMORY_RECORDS = [10_000, 1_000_000] as const;
const MAX_OVERHEAD = 1.3;
const MAX_MEMORY_GROWTH = 1.15;
const ENDLESS = 1_000_000_000;

/** What the source client costs over undici's `request` with JSON.parse: the same pages, in turn, in one process. */
export async function measureClient(setting: Setting): Promise<void> {
  const { report, isQuick } = setting;
  const api = await startChild('page-process.ts', { arguments: [String(ENDLESS)] });
  const child = await startChild('client-process.ts', { profileDir: setting.profileDir });
  try {
    for (const [pageSize, count] of PAGES) {
      const pages = isQuick ? Math.ceil(count / 5) : count;
      const group = `Source client: processor time per page of ${pageSize}`;
      const order = (variant: Variant): ClientOrder => ({ address: api.address, variant, pageSize, pages });
      for (const variant of VARIANTS) await list(child, order(variant)); // the first of each pays for compiling
      const rounds: Record<Variant, number>[] = [];
      for (let round = 0; round < (isQuick ? 3 : ROUNDS); round++) {
        const costs = { bare: 0, client: 0, limited: 0 };
        for (const variant of VARIANTS) costs[variant] = (1_000 * (await list(child, order(variant))).cpuMs) / pages;
        rounds.push(costs);
      }
      const middle = (of: (costs: Record<Variant, number>) => number) => median(rounds.map(of));
      const goal = pageSize >= 100 ? atMost(MAX_OVERHEAD) : undefined;
      report.add(
        group,
        'undici request and JSON.parse',
        middle(({ bare }) => bare),
        'µs',
      );
      report.add(
        group,
        'client',
        middle(({ client }) => client),
        'µs',
      );
      report.add(
        group,
        'client ÷ bare',
        middle(({ client, bare }) => client / bare),
        '',
        goal,
      );
      report.add(
        group,
        'client with a rate limit ÷ bare',
        middle(({ limited, bare }) => limited / bare),
        '',
        goal,
      );
    }
  } finally {
    await child.stop();
    await api.stop();
  }
  await measureListingMemory(setting);
}

/** A listing holds a page, however many there are. */
async function measureListingMemory({ report }: Setting): Promise<void> {
  const group = 'Source client: peak memory of a process that lists, pages of 1000';
  const peaks: number[] = [];
  for (const count of MEMORY_RECORDS) {
    const api = await startChild('page-process.ts', { arguments: [String(count)] });
    const child = await startChild('client-process.ts');
    try {
      const order: ClientOrder = { address: api.address, variant: 'client', pageSize: 1_000, pages: ENDLESS };
      // The small list as often as it takes to be the same work: what garbage takes is not counted as the list's.
      const turns = MEMORY_RECORDS[1] / count;
      for (let turn = 0; turn < turns; turn++) {
        const { records } = await list(child, order);
        if (records !== count) throw new Error(`${records} of ${count} records were listed`);
      }
      const peak = child.peakRssMb() ?? Number.NaN;
      peaks.push(peak);
      report.add(group, `${count.toLocaleString('en-US')} records`, peak, 'MB');
    } finally {
      await child.stop();
      await api.stop();
    }
  }
  const [small = Number.NaN, large = Number.NaN] = peaks;
  report.add(group, 'the larger over the smaller', large / small, '', atMost(MAX_MEMORY_GROWTH));
}

async function list(child: Child, order: ClientOrder): Promise<ClientReport> {
  const answer = Object(await child.ask(order));
  if (answer.error !== undefined) throw new Error(`listing: ${String(answer.error)}`);
  return answer as ClientReport;
}
