import cron, { type ScheduledTask } from 'node-cron';
import type { Log } from '../lib/log.ts';

export type ScheduleEntry = {
  readonly name: string;
  /** Cron expression, read in UTC: a job in a local gap of daylight saving would not run that day. */
  readonly cron: string;
  readonly onTick: () => Promise<void>;
};

export type Schedule = {
  /** When an entry is due next; null for one that is not known. */
  nextAt(name: string): Date | null;
  stop(): void;
};

/**
 * Calls each entry at its times, never twice at once. A tick only says that something is due: what is to be read follows
 * from the stored cursor, so a tick that a blocked process missed costs time and no data; it is made up for at once.
 */
export function startSchedule(entries: readonly ScheduleEntry[], log: Log): Schedule {
  const tasks = new Map<string, ScheduledTask>();
  for (const { name, cron: expression, onTick } of entries) {
    const tick = async () => {
      try {
        await onTick();
      } catch (error) {
        log.warn({ schedule: name, err: error }, 'tick failed');
      }
    };
    const task = cron.schedule(expression, tick, {
      name,
      timezone: 'Etc/UTC',
      noOverlap: true,
      suppressMissedWarning: true,
    });
    task.on('execution:missed', tick);
    tasks.set(name, task);
  }
  return {
    nextAt: (name) => tasks.get(name)?.getNextRun() ?? null,
    stop() {
      for (const task of tasks.values()) void task.destroy();
    },
  };
}
