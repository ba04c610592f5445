import { type Configuration, configure, KEYS, LATE } from './configuration.ts';

const MIRRORS: readonly Configuration[] = [
  configure('counter, full payloads', { shape: { versionKind: 'counter' } }),
  configure('counter, full payloads, hooks', { ending: 'hooks', shape: { versionKind: 'counter', canUndelete: true } }),
  configure('counter, thin payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'counter', payload: 'thin', canUndelete: true },
  }),
  configure('counter, thin payloads, offset pages', {
    shape: { versionKind: 'counter', payload: 'thin', paging: 'offset', canUndelete: true },
  }),
  configure('counter, late commits, incremental', {
    ending: 'incremental',
    shape: { versionKind: 'counter', ...LATE },
  }),
  configure('counter, late commits, offset pages, incremental', {
    ending: 'incremental',
    shape: { versionKind: 'counter', paging: 'offset', ...LATE },
  }),
  configure('counter, versioned deletions that return', {
    shape: { versionKind: 'counter', deleteEvents: 'versioned', canUndelete: true },
  }),
  configure('counter, no reads by id', { canGet: false, shape: { versionKind: 'counter', deleteEvents: 'versioned' } }),
  configure('counter, partial payloads', { shape: { versionKind: 'counter', payload: 'partial', canUndelete: true } }),
  configure('timestamps, full payloads', { shape: { versionKind: 'timestamp' } }),
  configure('timestamps, full payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'timestamp', canUndelete: true },
  }),
  configure('timestamps, thin payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'timestamp', payload: 'thin', canUndelete: true },
  }),
  configure('timestamps, partial payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'timestamp', payload: 'partial', canUndelete: true },
  }),
  configure('timestamps, late commits, incremental', {
    ending: 'incremental',
    shape: { versionKind: 'timestamp', ...LATE },
  }),
  configure('timestamps, offset pages, records that return', {
    shape: { versionKind: 'timestamp', paging: 'offset', canUndelete: true },
  }),
  configure('no versions, full payloads', { shape: { versionKind: 'none', canUndelete: true } }),
  configure('no versions, full payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'none', canUndelete: true },
  }),
  configure('no versions, thin payloads, hooks', {
    ending: 'hooks',
    shape: { versionKind: 'none', payload: 'thin', canUndelete: true },
  }),
  configure('no versions, offset pages', { shape: { versionKind: 'none', paging: 'offset' } }),
  configure('timestamps, offset pages, many records', {
    hasManyRecords: true,
    shape: { versionKind: 'timestamp', paging: 'offset' },
    rates: { crash: 0, crash_in_transaction: 0, pause: 0, list_timeout: 0, long_wait: 0.02 },
  }),
  configure('no versions, unsigned webhooks', { isSigned: false, shape: { versionKind: 'none', canUndelete: true } }),
  configure('counter, unsigned webhooks, hooks', {
    ending: 'hooks',
    isSigned: false,
    shape: { versionKind: 'counter', canUndelete: true },
  }),
  configure('counter, damaged states', { isDamaged: true, shape: { versionKind: 'counter' } }),
  configure('timestamps, damaged states', { isDamaged: true, shape: { versionKind: 'timestamp', canUndelete: true } }),
  configure('no versions, damaged states', { isDamaged: true, shape: { versionKind: 'none', canUndelete: true } }),
  configure('counter, mapping changed', {
    mapping: 'shows_otherwise',
    shape: { versionKind: 'counter', canUndelete: true },
  }),
  configure('counter, rights lost for a while', {
    hasManyRecords: true,
    hidesRecords: true,
    isWeak: true,
    deletions: { maxShare: 0.1, minimum: 1 },
    shape: { versionKind: 'counter', canUndelete: true },
  }),
];

const TWO_WAYS: readonly Configuration[] = [
  configure('two-way, counter, keys', { twoWay: {}, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, counter, keys, hooks', { ending: 'hooks', twoWay: {}, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, counter, keys, thin payloads, hooks', {
    ending: 'hooks',
    twoWay: {},
    shape: { ...KEYS, payload: 'thin', canUndelete: true },
  }),
  configure('two-way, counter, keys, incremental', {
    ending: 'incremental',
    twoWay: {},
    shape: { ...KEYS, ...LATE },
  }),
  configure('two-way, counter, normalising, keys', {
    twoWay: {},
    shape: { ...KEYS, normalises: true, derives: 'later', touches: true },
  }),
  configure('two-way, counter, markers', { twoWay: {}, shape: { hasMarker: true, canUndelete: true } }),
  configure('two-way, counter, markers, pauses past the lease', {
    twoWay: { userInserts: 'many' },
    shape: { hasMarker: true },
    rates: { pause_past_lease: 0.5, long_wait: 0.03, pause: 0, crash: 0, crash_in_transaction: 0 },
  }),
  configure('two-way, counter, neither keys nor markers', { twoWay: {}, shape: { canUndelete: true } }),
  configure('two-way, counter, version matched', { twoWay: {}, shape: { ...KEYS, ifMatch: 'version' } }),
  configure('two-way, timestamps, keys', {
    twoWay: {},
    shape: { ...KEYS, versionKind: 'timestamp', canUndelete: true },
  }),
  configure('two-way, timestamps, normalising, keys, hooks', {
    ending: 'hooks',
    twoWay: {},
    shape: { ...KEYS, versionKind: 'timestamp', normalises: true, derives: 'at_once', touches: true },
  }),
  configure('two-way, timestamps, markers, incremental', {
    ending: 'incremental',
    twoWay: {},
    shape: { versionKind: 'timestamp', hasMarker: true, normalises: true, ...LATE },
  }),
  configure('two-way, timestamps, neither, offset pages', {
    twoWay: {},
    shape: { versionKind: 'timestamp', paging: 'offset', touches: true },
  }),
  configure('two-way, no versions, keys', { twoWay: {}, shape: { ...KEYS, versionKind: 'none', canUndelete: true } }),
  configure('two-way, no versions, tags matched, markers', {
    twoWay: {},
    shape: { versionKind: 'none', ifMatch: 'etag', hasMarker: true, normalises: true },
  }),
  configure('two-way, no versions, thin payloads, keys, hooks', {
    ending: 'hooks',
    twoWay: {},
    shape: { ...KEYS, versionKind: 'none', payload: 'thin' },
  }),
  configure('two-way, partial payloads, keys', {
    twoWay: {},
    shape: { ...KEYS, payload: 'partial', normalises: true },
  }),
  configure('two-way, answers without the record', {
    twoWay: {},
    shape: { ...KEYS, answersRecord: false, normalises: true },
  }),
  configure('two-way, target wins', { twoWay: { policy: 'target_wins' }, shape: { ...KEYS } }),
  configure('two-way, newest wins', {
    twoWay: { policy: 'newest_wins' },
    shape: { ...KEYS, versionKind: 'timestamp' },
  }),
  configure('two-way, a person decides', { twoWay: { policy: 'manual' }, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, a person decides, and does', {
    twoWay: { policy: 'manual', hasOperator: true, localDeletes: 'push', userDeletes: 'some' },
    shape: { ...KEYS, canUndelete: true },
  }),
  configure('two-way, many rows removed at once', {
    twoWay: {
      localDeletes: 'push',
      userDeletes: 'masses',
      massDelete: { maxShare: 0.3, minimum: 1 },
      hasOperator: true,
    },
    shape: { ...KEYS },
  }),
  configure('two-way, local deletions pushed', {
    twoWay: { localDeletes: 'push', userDeletes: 'some' },
    shape: { ...KEYS },
  }),
  configure('two-way, local deletions restored', {
    twoWay: { localDeletes: 'restore', userDeletes: 'some' },
    shape: { ...KEYS },
  }),
  configure('two-way, local deletions detach', {
    twoWay: { localDeletes: 'detach', userDeletes: 'some' },
    shape: { ...KEYS },
  }),
  configure('two-way, the table normalises', {
    twoWay: { tableNormalises: true },
    shape: { ...KEYS, normalises: true },
  }),
  configure('two-way, the table edits after us', {
    twoWay: { tableEdits: true, userInserts: 'never' },
    shape: { ...KEYS, normalises: true },
  }),
  configure('two-way, the table keeps rows out, edits uncaptured', {
    twoWay: { tableKeepsOut: true, localDeletes: 'push', userDeletes: 'some' },
    shape: { ...KEYS, canUndelete: true },
    rates: { edit_uncaptured: 0.3, audit: 0.01 },
  }),
  configure('two-way, refused values', { twoWay: {}, shape: { ...KEYS, refuses: true } }),
  configure('two-way, rights missing for some', {
    twoWay: { localDeletes: 'push', userDeletes: 'some', hasOperator: true },
    shape: { ...KEYS },
    rates: { write_forbidden: 0.1, read_forbidden: 0.05 },
  }),
  configure('two-way, edits joined', { twoWay: { debounceMs: 500 }, shape: { ...KEYS, ifMatch: 'version' } }),
  configure('two-way, whole records sent', { twoWay: { sends: 'record' }, shape: { ...KEYS, ifMatch: 'version' } }),
  configure('two-way, mapping changed', { mapping: 'shows_otherwise', twoWay: {}, shape: { ...KEYS } }),
  // Requests that are bound to a version are sent without a read before them.
  configure('two-way, a property mapped halfway', {
    mapping: 'maps_more',
    twoWay: {},
    shape: { ...KEYS, ifMatch: 'version' },
  }),
  configure('two-way, timestamps, a property mapped halfway', {
    mapping: 'maps_more',
    twoWay: { policy: 'target_wins' },
    shape: { ...KEYS, versionKind: 'timestamp', normalises: true },
  }),
  configure('two-way, unsigned webhooks, keys', { isSigned: false, twoWay: {}, shape: { ...KEYS, canUndelete: true } }),
  configure('two-way, zombies, keys', { twoWay: {}, shape: { ...KEYS, hasZombies: true } }),
];

export const CONFIGURATIONS: readonly Configuration[] = [...MIRRORS, ...TWO_WAYS];

export function configurationOf(name: string): Configuration {
  const found = CONFIGURATIONS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`No configuration is named "${name}"`);
  return found;
}
