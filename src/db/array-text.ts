/**
 * Arrays as PostgreSQL writes them: `{a,"b c",NULL}`, nested ones in further braces. postgres.js has a reader of its own, but
 * that one returns an element that is null as the text "NULL".
 */

/** Any depth. Elements that are null stay null, others go through `parseElement`. */
export function parseArrayText(text: string, parseElement: (element: string) => unknown): unknown[] {
  let position = text.indexOf('{');

  function quoted(): string {
    let element = '';
    position += 1;
    while (position < text.length && text[position] !== '"') {
      if (text[position] === '\\') position += 1;
      element += text[position] ?? '';
      position += 1;
    }
    position += 1;
    return element;
  }

  function bare(): string {
    const start = position;
    while (position < text.length && text[position] !== ',' && text[position] !== '}') position += 1;
    return text.slice(start, position);
  }

  function array(): unknown[] {
    const elements: unknown[] = [];
    position += 1;
    while (position < text.length && text[position] !== '}') {
      if (text[position] === ',') position += 1;
      else if (text[position] === '{') elements.push(array());
      else if (text[position] === '"') elements.push(parseElement(quoted()));
      else {
        const element = bare();
        elements.push(element === 'NULL' ? null : parseElement(element));
      }
    }
    position += 1;
    return elements;
  }

  return position < 0 ? [] : array();
}

/** Null and undefined become NULL, bytes hex, dates ISO text, everything else its text in quotes. */
export function arrayText(elements: readonly unknown[]): string {
  return `{${elements.map(elementText).join(',')}}`;
}

function elementText(element: unknown): string {
  if (element === null || element === undefined) return 'NULL';
  if (Array.isArray(element)) return arrayText(element);
  if (element instanceof Uint8Array) return `"\\\\x${Buffer.from(element).toString('hex')}"`;
  if (element instanceof Date) return `"${element.toISOString()}"`;
  if (typeof element === 'number' || typeof element === 'bigint' || typeof element === 'boolean')
    return String(element);
  return `"${String(element).replace(/[\\"]/g, '\\$&')}"`;
}
