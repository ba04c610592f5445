import type { Logger } from 'pino';
import { errorFields } from './error-fields.ts';

/** Named facts of one log line. Never a secret, a token or a record's content. */
export type LogFields = { readonly [name: string]: unknown };

/** What the parts write to. A pino logger is one. */
export type Log = {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
};

/** A logger, whoever made it, that shows errors by `errorFields` alone: see there. */
export const withoutMessages = (log: Logger): Logger => log.child({}, { serializers: { err: errorFields } });
