import type { EntityDefinition } from './definition.ts';
import { wayBackOf } from './way-back.ts';

/** What a sound definition cannot promise: for people, before it happens. */
export function writeCautions(entity: EntityDefinition): string[] {
  const { update, create, idempotency, marker, onUnknownCreate, createOnly = [] } = entity.write ?? {};
  const cautions: string[] = [];
  if (create !== undefined && idempotency === undefined && marker?.searchParam === undefined) {
    const words =
      'nothing tells whether a create that is not answered was carried out (no idempotency, no marker to search)';
    cautions.push(
      onUnknownCreate === 'retry'
        ? `${words}: it is sent again, and the source may hold the record twice`
        : `${words}: it waits for a person`,
    );
  }
  if (update !== undefined && (update.ifMatch ?? false) === false) {
    const words = 'an update is bound to no version (no ifMatch)';
    cautions.push(`${words}: what somebody changes at the source in the moment before it arrives can be overwritten`);
  }
  if (update?.sends === 'record') {
    const others = [...wayBackOf(entity).readOnly.keys(), ...createOnly].join(', ');
    const words = `an update sends the whole record without what is not mapped or not sent (${others})`;
    cautions.push(`${words}: where the source replaces records, that is lost there`);
  }
  return cautions;
}
