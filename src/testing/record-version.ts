import type { VersionForm } from '../mapping/identity.ts';
import type { JsonValue } from '../model/json.ts';
import { type JsonObject, valueAt, withValueAt } from './json.ts';
import { formatInstant } from './source-clock.ts';

const MS_PER_S = 1_000;
const MICROS_PER_MS = 1_000;

/** How a source writes its versions; null where it has none. */
export function versionWriter(version: VersionForm): ((at: number) => JsonValue) | null {
  if (version.kind === 'none') return null;
  if (version.kind === 'counter') return (at) => at;
  switch (version.format ?? 'iso') {
    case 'iso':
      return formatInstant;
    case 'epoch_s':
      return (at) => Math.floor(at / MS_PER_S);
    case 'epoch_ms':
      return (at) => at;
  }
}

/** A record with its version put in, as text where the record had one as text. */
export function withVersion(record: JsonObject, version: VersionForm, at: number): JsonObject {
  const write = versionWriter(version);
  if (write === null || version.kind === 'none') return record;
  const isText = typeof valueAt(record, version.field) === 'string';
  const value = write(at);
  return Object(withValueAt(record, version.field, isText ? String(value) : value));
}

/** The place in the order of change that a parameter names; `NaN` when it names none. */
export function readSince(text: unknown, format: 'iso' | 'epoch_s' | 'epoch_ms' | 'raw', version: VersionForm): number {
  if (format === 'iso') return Date.parse(String(text));
  const number = Number(text);
  if (format === 'epoch_s') return number * MS_PER_S;
  return format === 'raw' && version.kind === 'timestamp' ? number / MICROS_PER_MS : number;
}
