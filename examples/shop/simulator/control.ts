import { type Counters, FAULTS_OFF, parseSettings, type Settings, type SettingsPatch } from 'syncline/testing';
import { z } from 'zod';
import type { RecordCounts } from './shop.ts';

export type CustomerEdit =
  | { readonly kind: 'create'; readonly fields: unknown }
  | { readonly kind: 'update'; readonly id: string; readonly fields: unknown }
  | { readonly kind: 'delete'; readonly id: string };

/** What a caller may ask of the running shop, by `POST /_control` or by process message. Done in this order. */
export type ControlRequest = {
  readonly settings?: SettingsPatch;
  /** Sets every fault to 0, after `settings`. */
  readonly faults?: 'off';
  /** Where deliveries go from now on; null ends them. */
  readonly webhookUrl?: string | null;
  /** Whether the shop changes by itself. */
  readonly generator?: 'run' | 'pause';
  /** Changes made by the shop's own people, one after the other: no writes of its API. Ones to records that are gone do nothing. */
  readonly edits?: readonly CustomerEdit[];
  /** Makes at least so many changes (some come in twos and threes), and answers when they are visible. */
  readonly drive?: number;
  /** Answers when no delivery is pending, or after a minute. */
  readonly drain?: true;
};

export type ControlState = {
  readonly seed: number;
  readonly generator: 'running' | 'driving' | 'paused';
  readonly webhookUrl: string | null;
  readonly settings: Settings;
  readonly counters: Counters;
  readonly pendingDeliveries: number;
  readonly records: RecordCounts;
};

export type ControlAnswer =
  | { readonly ok: true; readonly state: ControlState }
  | { readonly ok: false; readonly problem: string };

type ControlParse =
  | { readonly ok: true; readonly request: Omit<ControlRequest, 'faults' | 'webhookUrl'> & { webhookUrl?: URL | null } }
  | { readonly ok: false; readonly problem: string };

const MAX_DRIVE = 1_000_000;
const MAX_EDITS = 1_000;
const KEYS = ['settings', 'faults', 'webhookUrl', 'generator', 'edits', 'drive', 'drain'];
const editsSchema = z
  .array(
    z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('create'), fields: z.unknown() }),
      z.strictObject({ kind: z.literal('update'), id: z.string(), fields: z.unknown() }),
      z.strictObject({ kind: z.literal('delete'), id: z.string() }),
    ]),
  )
  .max(MAX_EDITS);

/** Reads a request out of parsed JSON. `faults` becomes part of the settings, the URL a URL. */
export function parseControl(value: unknown): ControlParse {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('expected an object');
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const key of fields.keys()) if (!KEYS.includes(key)) return refuse(`expected only ${KEYS.join(', ')}`);
  const settings = parseSettings(fields.get('settings') ?? {});
  if (!settings.ok) return settings;
  const faults = fields.get('faults');
  if (faults !== undefined && faults !== 'off') return refuse("faults: expected 'off'");
  const webhookUrl = fields.get('webhookUrl');
  const url = typeof webhookUrl === 'string' ? readUrl(webhookUrl) : webhookUrl;
  if (url !== undefined && url !== null && !(url instanceof URL)) {
    return refuse('webhookUrl: expected an http: URL on this machine, or null');
  }
  const generator = fields.get('generator');
  if (generator !== undefined && generator !== 'run' && generator !== 'pause') {
    return refuse("generator: expected 'run' or 'pause'");
  }
  const edits = editsSchema.optional().safeParse(fields.get('edits'));
  if (!edits.success) return refuse(`edits: expected a list of edits of customers, at most ${MAX_EDITS}`);
  const drive = fields.get('drive');
  if (
    drive !== undefined &&
    !(typeof drive === 'number' && Number.isInteger(drive) && drive >= 1 && drive <= MAX_DRIVE)
  ) {
    return refuse(`drive: expected a whole number from 1 to ${MAX_DRIVE}`);
  }
  const drain = fields.get('drain');
  if (drain !== undefined && drain !== true) return refuse('drain: expected true');
  return {
    ok: true,
    request: {
      settings: { ...settings.patch, ...(faults === 'off' ? FAULTS_OFF : {}) },
      ...(url === undefined ? {} : { webhookUrl: url }),
      ...(generator === undefined ? {} : { generator }),
      ...(edits.data === undefined ? {} : { edits: edits.data }),
      ...(drive === undefined ? {} : { drive }),
      ...(drain === undefined ? {} : { drain }),
    },
  };
}

const refuse = (problem: string): ControlParse => ({ ok: false, problem });

/** Only loopback: a simulator that floods must not be pointed at somebody else by mistake. */
function readUrl(text: string): URL | false {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname) ? url : false;
}
