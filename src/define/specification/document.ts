import type { ConfigDefinition, IntegrationDefinition } from '../definition.ts';
import { writeCautions } from '../write-cautions.ts';
import { describeEntity } from './describe-entity.ts';
import { describeSource } from './describe-source.ts';
import { code, list } from './markdown.ts';

/**
 * The whole configuration as Markdown: what it does, and why, for people who decide, review or operate it. It holds no
 * secret: settings are shown by their names. Expects a definition that `checkConfig` accepts; connects to nothing.
 */
export const describeConfig = ({ integrations }: ConfigDefinition): string =>
  `${integrations.map(describeIntegration).join('\n\n')}\n`;

function describeIntegration(integration: IntegrationDefinition): string {
  const { name, entities } = integration;
  return [
    `# Integration: ${name}`,
    `## Pattern\n\n${describePattern(integration)}${describeDirection(integration)}`,
    describeSource(integration),
    '## Data mapping and pagination',
    ...Object.entries(entities).map(([entity, definition]) => describeEntity(entity, definition)),
    `## Monitoring\n\n${list(MONITORING(name))}`,
    `## Production checklist\n\n${list(checklistOf(integration))}`,
    `## Next steps\n\n${list(nextStepsOf(integration))}`,
  ].join('\n\n');
}

function describePattern({ webhook, entities }: IntegrationDefinition): string {
  const scheduled = Object.values(entities).filter(({ reconcile }) => reconcile?.incremental ?? reconcile?.full);
  if (webhook === undefined) {
    return 'Polling: the source sends no webhooks here, so rows are as fresh as the last scheduled run.';
  }
  if (scheduled.length === 0) {
    return 'Webhook: changes arrive as they happen. No run is scheduled, so a webhook that is lost is found only when somebody asks for a run.';
  }
  return 'Hybrid: webhooks bring changes within moments, scheduled runs find what no webhook brought. Both go through one mapping and one ordered write, so that they agree.';
}

function describeDirection({ entities }: IntegrationDefinition): string {
  const names = Object.entries(entities).flatMap(([name, { write }]) => (write === undefined ? [] : [code(name)]));
  if (names.length === 0) return ' Mirror: edits of the rows never reach the source.';
  return ` Two-way: edits of the rows of ${names.join(', ')} are sent to the source.`;
}

const MONITORING = (name: string): readonly string[] => [
  `${code(`GET /status/${name}`)}: state and its reasons, freshness, missed-webhook rate, drift, limits, breaker.`,
  `${code('GET /sync/runs')}: what each run saw and did. ${code('GET /dead-letters')}: what was set aside, and why.`,
  'The table `sync.sync_status` holds the same for plain SQL.',
];

function checklistOf({ name, webhook, entities }: IntegrationDefinition): string[] {
  const items = [
    '`DATABASE_URL` points to a PostgreSQL that is backed up.',
    '`SYNCLINE_ADMIN_TOKEN` is a long random text.',
  ];
  if (webhook !== undefined) {
    items.push(
      `The source sends to ${code(`<SYNCLINE_PUBLIC_URL>/webhooks/${name}`)}, and its secret is in the environment.`,
    );
    items.push(`Event types that the integration takes: ${Object.keys(webhook.events).map(code).join(', ')}.`);
  }
  for (const [entity, form] of Object.entries(entities)) {
    const { reconcile, read } = form;
    items.push(...writeCautions(form).map((caution) => `${entity}: ${caution}.`));
    if (reconcile?.full === undefined)
      items.push(`${entity}: no full run is scheduled, so silent deletions stay unseen.`);
    if (read.get === undefined) items.push(`${entity}: cannot be read by id, so doubts wait for full runs.`);
  }
  return items;
}

const nextStepsOf = ({ name, entities }: IntegrationDefinition): string[] => [
  `Start the server; the first full run of ${Object.keys(entities).map(code).join(', ')} begins by itself.`,
  `Compare a dry run with what you expect: ${code(`POST /sync/reconcile {"integration":"${name}","dryRun":true,"mode":"full"}`)}.`,
  'Watch the missed-webhook rate for a week before you make incremental runs rarer.',
];
