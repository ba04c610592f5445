import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../lib/package-root.ts';

const manifestSchema = z.object({ version: z.string() });

/** This package's version. */
export const readVersion = (): string =>
  manifestSchema.parse(JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'))).version;
