import { z } from 'zod';
import type { Setting } from './setting.ts';

const isSetting = (value: unknown): boolean =>
  (typeof value === 'string' && value !== '') ||
  (typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'environment');

/** A text that is not empty, or a reference to the environment. The reference passes through as it is. */
export const settingSchema = z.custom<Setting>(isSetting, 'expected a text that is not empty, env(…) or secret(…)');
