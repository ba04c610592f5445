import { loadConfig } from '../config/load.ts';
import { StartError } from '../config/start-error.ts';
import { checkConfig } from '../define/check-config.ts';
import { describeConfig } from '../define/specification/document.ts';
import type { Environment } from '../lib/setting.ts';
import { reportStartFailure } from './start-failure.ts';

/**
 * Prints what the configuration declares as Markdown, or as JSON with that text in it. Connects to nothing, but wants the
 * environment complete, as the start does: what it describes is what would run. @returns the exit code.
 */
export async function printSpecification(
  environment: Environment,
  workingFolder: string,
  { json }: { readonly json: boolean },
): Promise<number> {
  const path = environment.SYNCLINE_CONFIG || 'syncline.config.ts';
  try {
    const loaded = await loadConfig(path, workingFolder);
    if (!loaded.ok) throw new StartError([{ path: 'SYNCLINE_CONFIG', problem: loaded.problem }]);
    const checked = checkConfig(loaded.definition, environment);
    if (!checked.ok) throw new StartError(checked.problems);
    const specification = describeConfig(checked.definition);
    process.stdout.write(json ? `${JSON.stringify({ specification })}\n` : specification);
    return 0;
  } catch (error) {
    return reportStartFailure(error);
  }
}
