import { parseStrictJson, StrictJsonError } from '../../core/strict-json.ts';

/**
 * Reads a deployment request as the Azure CLI sends it: JSON that may hold comments and strings over several lines, because
 * the text of the template file stands in it as it is, behind a `template` key without quotes. Throws StrictJsonError.
 * Source: Azure CLI 2.45, command_modules/resource/custom.py, JsonCTemplatePolicy.
 */
export function parseTemplateText(bytes: Uint8Array): unknown {
  return parseStrictJson(new TextEncoder().encode(strictText(decode(bytes))));
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new StrictJsonError('not valid UTF-8', { cause });
  }
}

/** Every character is looked at once, also in hostile text. */
function strictText(text: string): string {
  const kept: string[] = [];
  let at = 0;
  while (at < text.length) {
    const end = endOfPart(text, at);
    kept.push(strictPart(text.slice(at, end)));
    at = end;
  }
  return kept.join('');
}

function endOfPart(text: string, at: number): number {
  if (text.startsWith('//', at)) return endOfLine(text, at);
  if (text.startsWith('/*', at)) return endOfComment(text, at);
  if (text[at] === '"') return endOfString(text, at);
  if (text[at] === '/') return at + 1;
  let end = at + 1;
  while (end < text.length && text[end] !== '"' && text[end] !== '/') end += 1;
  return end;
}

function strictPart(part: string): string {
  if (part.startsWith('"')) return part.replaceAll('\r', '\\r').replaceAll('\n', '\\n').replaceAll('\t', '\\t');
  if (part.length > 1 && part.startsWith('/')) return ' ';
  // Only the key that the CLI writes without quotes.
  return part.replace(/([{,]\s?)template:/g, '$1"template":');
}

function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

function endOfComment(text: string, at: number): number {
  const end = text.indexOf('*/', at + 2);
  if (end < 0) throw new StrictJsonError('a comment has no end');
  return end + 2;
}

function endOfString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end += 1) {
    if (text[end] === '\\') end += 1;
    else if (text[end] === '"') return end + 1;
  }
  throw new StrictJsonError('a string has no end');
}
