import { asUnsigned, receive } from './ingest.ts';
import type { HookBody } from './model-source.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

/** The source sends one of the webhooks that it means to send, in no order. Somebody else may send one of her own. */
export function deliverHook(world: World, random: Random): void {
  const { source, clock, faults, trace } = world;
  if (faults.strikes('hook_forged')) receiveForged(world, random);
  if (source.hooks.length === 0) return;
  const place = random.below(source.hooks.length);
  const hook = source.hooks[place];
  if (hook === undefined) return;
  if (hook.copies > 1) source.hooks[place] = { ...hook, copies: hook.copies - 1 };
  else source.hooks.splice(place, 1);
  trace?.(`${clock.at()} a webhook of ${hook.body.id}: ${hook.body.kind} v${hook.body.version}`);
  accept(world, hook.eventId, hook.body);
}

function accept({ configuration, tables, clock, mutant, figures }: World, eventId: string, body: HookBody): void {
  const taken = configuration.isSigned ? body : asUnsigned(body);
  const key = mutant?.rules?.dedupesBy === 'body' ? bodyText(body) : eventId;
  const isNew = receive(tables, { eventId: key, body: taken, receivedAt: clock.read() });
  figures.count(isNew ? 'webhooks' : 'webhooks known already');
}

const bodyText = ({ id, kind, record, version }: HookBody): string =>
  `${id} ${kind} ${version} ${JSON.stringify(record?.fields ?? null)}`;

/** A payload that the source never sent: where webhooks are signed it is turned away, elsewhere it is no more than a hint. */
function receiveForged(world: World, random: Random): void {
  const { source, configuration } = world;
  if (configuration.isSigned) return;
  const ids = [...source.records.keys()];
  const id = ids.length === 0 || random.chance(0.2) ? 's-nobody' : random.pick(ids);
  const fields = { a: 'forged', b: 'forged', d: null, n: 666, ref: null };
  const record = { id, fields, version: 1_000_000n, etag: 'forged', isDeleted: false, marker: null };
  const common = { id, version: 1_000_000n, previousVersion: null, isForged: true };
  const isDeletion = random.chance(0.5);
  accept(
    world,
    source.nextEventId(),
    isDeletion ? { ...common, kind: 'deleted', record: null } : { ...common, kind: 'full', record },
  );
}
