import type { WriteDefinition } from './write.ts';

/** What a sound definition cannot promise: for people, before it happens. */
export function writeCautions({ update, create, idempotency, marker, onUnknownCreate }: WriteDefinition): string[] {
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
  return cautions;
}
