import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/lib/package-root.ts';

export const readText = (file: string): string => readFileSync(join(packageRoot(), file), 'utf8');

/** Everything that people read, by its path from the package's root. */
export const documents = (): ReadonlyMap<string, string> =>
  new Map(
    [
      'README.md',
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      ...readdirSync(join(packageRoot(), 'docs')).map((name) => `docs/${name}`),
    ]
      .filter((file) => file.endsWith('.md'))
      .map((file) => [file, readText(file)]),
  );

/** The text below a heading, up to the next heading of the same or a higher level. */
export function section(text: string, heading: string): string {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '').startsWith(heading));
  if (start === -1) throw new Error(`There is no heading ${heading}`);
  const level = lines[start]?.indexOf(' ') ?? 0;
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level);
  return rest.slice(0, end === -1 ? undefined : end).join('\n');
}

/** The rows of all tables in a text, without their headings; cells without the marks of code. */
export function tableRows(text: string): string[][] {
  const lines = text.split('\n');
  return lines
    .filter(
      (line, index) =>
        line.startsWith('|') && !/^\|[\s|:-]+$/.test(line) && !/^\|[\s|:-]*-[\s|:-]*$/.test(lines[index + 1] ?? ''),
    )
    .map((line) =>
      line
        .replaceAll('\\|', '\u0000')
        .slice(1, line.lastIndexOf('|'))
        .split('|')
        .map((cell) => cell.replaceAll('\u0000', '|').trim()),
    );
}

/** Names in marks of code. */
export const codeNames = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].flatMap(([, name]) => name ?? []);

/** A cell that is one name. */
export const codeName = (cell: string | undefined): string => codeNames(cell ?? '')[0] ?? '';

/** The code blocks of a language, in order. */
export const codeBlocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].flatMap(([, code]) => code ?? []);
