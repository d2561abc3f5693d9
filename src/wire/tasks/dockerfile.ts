import { TaskError } from './task-error.ts';

/** One instruction of a Dockerfile: lines joined, comments and texts of heredocs taken out. */
export type Instruction = {
  /** Upper case. */
  readonly keyword: string;
  /** `--name=value` before everything else; `''` where there is no value. Several of a name stay several. */
  readonly flags: readonly { readonly name: string; readonly value: string }[];
  readonly rest: string;
  /** From 1. */
  readonly line: number;
};

const maxLength = 4 * 1024 * 1024;

/**
 * Reads a Dockerfile: parser directives, comments, continuation lines, heredocs. Throws TaskError.
 * Source: Dockerfile reference, "Format", "Parser directives", "Here-Documents".
 */
export function parseDockerfile(text: string): readonly Instruction[] {
  if (text.length > maxLength) throw new TaskError('the Dockerfile is larger than 4 MiB');
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const joiner = escapeOf(lines);
  const instructions: Instruction[] = [];
  for (let at = 0; at < lines.length; ) {
    const joined = joinLines(lines, at, joiner);
    const instruction = instructionOf(joined.text, at + 1);
    at = instruction === undefined ? joined.next : skipHeredocs(lines, joined.next, instruction);
    if (instruction !== undefined) instructions.push(instruction);
  }
  return instructions;
}

function escapeOf(lines: readonly string[]): string {
  for (const line of lines) {
    const [, name, value] = /^#\s*([A-Za-z]+)\s*=\s*(\S+)\s*$/.exec(line) ?? [];
    if (name === undefined) return '\\';
    if (name.toLowerCase() === 'escape') return value === '`' ? '`' : '\\';
  }
  return '\\';
}

/** Comments and empty lines between continued lines are dropped. */
function joinLines(lines: readonly string[], start: number, joiner: string): { text: string; next: number } {
  const parts: string[] = [];
  let at = start;
  for (let isOpen = true; isOpen && at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const isSkipped = /^\s*#/.test(line) || (parts.length > 0 && line.trim() === '');
    if (isSkipped && parts.length > 0) continue;
    const content = line.trimEnd();
    isOpen = !isSkipped && content.endsWith(joiner);
    if (!isSkipped) parts.push(isOpen ? content.slice(0, -1) : content);
  }
  return { text: parts.join(' ').trim(), next: at };
}

function instructionOf(text: string, line: number): Instruction | undefined {
  if (text === '') return undefined;
  const [, keyword = '', after = ''] = /^([A-Za-z]+)(?:\s+([\s\S]*))?$/.exec(text) ?? [];
  if (keyword === '') throw new TaskError(`the Dockerfile cannot be read at line ${line}: ${text.slice(0, 60)}`);
  const flags: { name: string; value: string }[] = [];
  let rest = after;
  for (;;) {
    const found = /^--([a-z][a-z-]*)(?:=("[^"]*"|\S*))?(?:\s+|$)/.exec(rest);
    if (found === null) break;
    flags.push({ name: found[1] ?? '', value: unquote(found[2] ?? '') });
    rest = rest.slice(found[0].length);
  }
  return { keyword: keyword.toUpperCase(), flags, rest, line };
}

const heredocKeywords = ['RUN', 'COPY', 'ADD'];

function skipHeredocs(lines: readonly string[], start: number, { keyword, rest, line }: Instruction): number {
  if (!heredocKeywords.includes(keyword)) return start;
  let at = start;
  for (const found of rest.matchAll(/(?:^|[^<])<<(-?)(["']?)([A-Za-z_][A-Za-z0-9_]*)\2(?=\s|$|[;|&)])/g)) {
    const name = found[3] ?? '';
    const isEnd = (text: string) => (found[1] === '-' ? text.replace(/^\t+/, '') : text) === name;
    while (at < lines.length && !isEnd(lines[at] ?? '')) at += 1;
    if (at >= lines.length) throw new TaskError(`the heredoc ${name} at line ${line} of the Dockerfile is not closed`);
    at += 1;
  }
  return at;
}

export function unquote(text: string): string {
  return /^(["'])([\s\S]*)\1$/.exec(text)?.[2] ?? text;
}
