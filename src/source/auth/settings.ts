import type { Setting } from '../../lib/setting.ts';

/**
 * `path` is a setting's place in the definition; `use` says what its value may be made of. Empty text stands for a value
 * that cannot be used: that has been reported then, and nothing more is to be said about it.
 */
export type ReadSetting = (path: string, setting: Setting, use: 'header' | 'query' | 'url' | 'text') => string;

/** What the kinds look their settings up with, so that all problems are known at once. */
export type AuthSettings = {
  readonly read: ReadSetting;
  /** For values that are there and cannot work. The problem names the way out and never shows the value. */
  readonly report: (path: string, problem: string) => void;
  /** The source's; null when it cannot be used, which is reported elsewhere. */
  readonly baseUrl: URL | null;
};

const CONTROL_CHARACTER = /\p{Cc}/u;

/** What is wrong with a text that nobody types with a control character in it; null when nothing is. */
export const controlCharacterIn = (text: string): string | null =>
  CONTROL_CHARACTER.test(text) ? 'has a control character (a line break at its end, perhaps): set it without' : null;

/** Looks up a URL: absolute, or, with a slash in front, a path behind the base URL's. Null when it cannot be used. */
export function readUrl({ read, report, baseUrl }: AuthSettings, path: string, setting: Setting): URL | null {
  const text = read(path, setting, 'url');
  if (text === '') return null;
  const refuse = (problem: string): null => {
    report(path, problem);
    return null;
  };
  const isPath = text.startsWith('/') && !text.startsWith('//');
  if (isPath && baseUrl === null) return null;
  const whole = isPath ? `${baseUrl?.href.replace(/\/$/, '')}${text}` : text;
  const url = URL.canParse(whole) ? new URL(whole) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    return refuse('is neither an http or https URL nor a path with a slash in front, such as /oauth/token');
  }
  if (url.username !== '' || url.password !== '')
    return refuse('holds credentials: give them as settings of their own');
  if (url.hash !== '') return refuse('holds a fragment, which is never sent: leave it out');
  return url;
}

/** Looks up several settings of one use. */
export const readAll = (
  read: ReadSetting,
  path: string,
  settings: Readonly<Record<string, Setting>>,
  use: 'header' | 'query' | 'text',
): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(settings).map(([key, setting]) => [key, read(`${path}.${key}`, setting, use)]));
