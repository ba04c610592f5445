import type { ConfigDefinition } from '../define/definition.ts';
import { wayBackOf } from '../define/way-back.ts';
import { writeCautions } from '../define/write-cautions.ts';
import type { Log } from '../lib/log.ts';

/** Says of each two-way entity which properties are sent, why the others are not, and what cannot be promised. */
export function tellWrites({ integrations }: ConfigDefinition, log: Pick<Log, 'info' | 'warn'>): void {
  for (const { name: integration, entities } of integrations) {
    for (const [entity, form] of Object.entries(entities)) {
      const { write } = form;
      if (write === undefined) continue;
      const { properties: sent, readOnly } = wayBackOf(form);
      const createOnly = write.createOnly ?? [];
      log.info({ integration, entity, sent, createOnly, readOnly: Object.fromEntries(readOnly) }, 'two-way');
      for (const caution of writeCautions(form)) log.warn({ integration, entity }, caution);
    }
  }
}
