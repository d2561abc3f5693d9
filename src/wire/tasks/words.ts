import { TaskError } from './task-error.ts';

const maxWords = 10_000;
const shellSigns = new Set([';', '|', '&', '<', '>', '`']);

/**
 * Splits a command into words as a POSIX shell does: quotes, backslashes, no more. Nothing is expanded: `$NAME` stays for a
 * shell inside the container. What only a shell could do (`;`, `|`, `&&`, redirections, `$(…)` outside quotes) is refused,
 * because these words go to a program as they are. Throws TaskError, which quotes nothing: a piece of a secret would not be hidden. Source: ACR tasks, 2.5 and 7.5.
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < text.length; at += 1) {
    const sign = text.charAt(at);
    if (/\s/.test(sign)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      if (words.length > maxWords) throw new TaskError(`a command has more than ${maxWords} words`);
    } else if (sign === "'" || sign === '"') {
      const quoted = readQuoted(text, at);
      word = `${word ?? ''}${quoted.text}`;
      at = quoted.end;
    } else if (sign === '\\') {
      at += 1;
      const next = text.charAt(at);
      // A backslash at the end of a line joins it with the next.
      if (next !== '\n') word = `${word ?? ''}${next}`;
    } else {
      requireNoShell(text, at);
      word = `${word ?? ''}${sign}`;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

function readQuoted(text: string, start: number): { readonly text: string; readonly end: number } {
  const quote = text.charAt(start);
  let content = '';
  for (let at = start + 1; at < text.length; at += 1) {
    const sign = text.charAt(at);
    if (sign === quote) return { text: content, end: at };
    const next = text.charAt(at + 1);
    if (sign !== '\\' || quote === "'" || !['"', '\\', '$', '`', '\n'].includes(next)) content += sign;
    else {
      if (next !== '\n') content += next;
      at += 1;
    }
  }
  throw new TaskError(`a quote is not closed in the command: ${quote} at character ${start + 1}`);
}

function requireNoShell(text: string, at: number): void {
  const isSubstitution = text.startsWith('$(', at);
  if (!shellSigns.has(text.charAt(at)) && !isSubstitution) return;
  const sign = isSubstitution ? '$(' : text.charAt(at);
  throw new TaskError(
    `the command needs a shell for "${sign}" at character ${at + 1}. ` +
      `Commands are run without one: quote it, or let the image's shell do it: IMAGE sh -c '…'`,
  );
}
