/** Why a text was refused as JSON; the caller turns it into an error of its protocol. */
export class StrictJsonError extends Error {}

const whitespace = /[ \t\r\n]*/y;
const scalar = /[-+0-9.eE]+|true|false|null/y;
const quote = 0x22;
const backslash = 0x5c;

/**
 * Parses UTF-8 JSON that two readers cannot understand differently: no duplicate keys, nothing after the value, no byte
 * order mark, at most `maxDepth` levels. Checks before it builds anything, so hostile nesting costs no stack.
 * Throws StrictJsonError with the reason.
 */
export function parseStrictJson(bytes: Uint8Array, maxDepth = 64): unknown {
  const text = decode(bytes);
  checkStructure(text, maxDepth);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StrictJsonError('not valid JSON', { cause });
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new StrictJsonError('not valid UTF-8', { cause });
  }
}

/** Walks the tokens once, keeping the keys of every open object; JSON.parse settles the finer grammar afterwards. */
function checkStructure(text: string, maxDepth: number): void {
  const open: (Set<string> | 'array')[] = [];
  let position = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = position;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) position += found.length;
    return found;
  };
  while (true) {
    take(whitespace);
    if (position >= text.length) return;
    const character = text[position];
    if (character === '"') {
      const end = stringEnd(text, position);
      const token = text.slice(position, end);
      position = end;
      take(whitespace);
      const keys = open.at(-1);
      if (text[position] === ':' && keys instanceof Set) addKey(keys, token);
      continue;
    }
    if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : 'array');
      if (open.length > maxDepth) throw new StrictJsonError(`nested deeper than ${maxDepth} levels`);
      position += 1;
    } else if (character === '}' || character === ']') {
      open.pop();
      position += 1;
    } else if (character === ',' || character === ':') {
      position += 1;
    } else if (take(scalar) === undefined) {
      throw new StrictJsonError('not valid JSON');
    }
  }
}

/** The position after the closing quote of the string that starts at `start`. */
function stringEnd(text: string, start: number): number {
  for (let position = start + 1; position < text.length; position += 1) {
    const code = text.charCodeAt(position);
    if (code === backslash) position += 1;
    else if (code === quote) return position + 1;
  }
  throw new StrictJsonError('a string is not terminated');
}

function addKey(keys: Set<string>, token: string): void {
  const key = token.includes('\\') ? unescaped(token) : token;
  if (keys.has(key)) throw new StrictJsonError(`duplicate key ${key.slice(0, 80)}`);
  keys.add(key);
}

/** Two spellings of one key (an escape and the plain letter) must count as the same key. */
function unescaped(token: string): string {
  try {
    return JSON.stringify(JSON.parse(token));
  } catch (cause) {
    throw new StrictJsonError('a string holds an invalid escape', { cause });
  }
}
