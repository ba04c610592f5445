import { Command } from 'commander';
import { readVersion } from '../config/version.ts';

/** Reads the command line and runs one command. Sets the process's exit code: 0 only on success. */
export async function runCli(argv: readonly string[]): Promise<void> {
  const program = new Command('syncline')
    .description('Keeps your Postgres in step with any SaaS API.')
    .version(readVersion(), '-v, --version');
  program
    .command('serve')
    .description('migrate, listen for webhooks, reconcile on schedule')
    .action(async () => {
      const { serve } = await import('./serve.ts');
      process.exitCode = await serve(process.env, process.cwd());
    });
  program
    .command('migrate')
    .description("bring Syncline's own tables, and those of the configuration's migrations, up to date")
    .action(async () => {
      const { migrate } = await import('./migrate.ts');
      process.exitCode = await migrate(process.env, process.cwd());
    });
  program
    .command('spec')
    .description('print the specification of every integration as Markdown')
    .option('--json', 'print JSON with the text in `specification`', false)
    .action(async (options: { readonly json: boolean }) => {
      const { printSpecification } = await import('./spec.ts');
      process.exitCode = await printSpecification(process.env, process.cwd(), options);
    });
  await program.parseAsync(argv);
}
