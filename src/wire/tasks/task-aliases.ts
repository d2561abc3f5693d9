import { TaskError } from './task-error.ts';

/** Names by what they stand for. Of a task: `values` > later `src` > earlier `src` > predefined. */
export type Aliases = ReadonlyMap<string, string>;

const maxExpandedLength = 4 * 1024 * 1024;

/** Stand for templates that are filled afterwards. Source: ACR tasks, 2.11. */
export const predefinedAliases: Aliases = new Map(
  ['ID', 'SharedVolume', 'Registry', 'RegistryName', 'Date', 'OS', 'Architecture', 'Commit', 'Branch'].map((name) => [
    name,
    `{{.Run.${name}}}`,
  ]),
);

/** Image aliases: the first word of a `cmd`; the agent knows what they stand for. */
export const imageAliases: Aliases = new Map(
  ['acr', 'az', 'bash', 'curl', 'cssc'].map((name) => [name, `mcr.microsoft.com/acr/${name}`]),
);

/** Throws TaskError for a name that is not letters and digits alone. */
export function requireAliasName(name: string): void {
  if (!/^[A-Za-z0-9]+$/.test(name)) {
    throw new TaskError(`the alias ${JSON.stringify(name.slice(0, 50))} has signs other than letters and digits`);
  }
}

/** Throws TaskError for anything but one sign that is neither letter nor digit. */
export function requireDirective(directive: string): void {
  if (!/^[^A-Za-z0-9\s]$/u.test(directive)) {
    throw new TaskError('the directive of aliases is one sign that is neither a letter nor a digit, such as $');
  }
}

/**
 * Replaces `$name` once: the longest run of letters and digits is the name, `$$` is `$`, an unknown name stays. What is
 * put in is not read again. Throws TaskError when the result grows beyond 4 MiB. Source: ACR tasks, 2.11.
 */
export function expandAliases(text: string, aliases: Aliases, directive = '$'): string {
  requireDirective(directive);
  const parts: string[] = [];
  let length = 0;
  const add = (part: string) => {
    parts.push(part);
    length += part.length;
    if (length > maxExpandedLength) throw new TaskError('the task is too long once its aliases are replaced');
  };
  for (let at = 0; at < text.length; ) {
    const sign = text.indexOf(directive, at);
    if (sign < 0) {
      add(text.slice(at));
      break;
    }
    add(text.slice(at, sign));
    const after = sign + directive.length;
    if (text.startsWith(directive, after)) {
      add(directive);
      at = after + directive.length;
      continue;
    }
    const name = nameAt(text, after);
    add(aliases.get(name) ?? `${directive}${name}`);
    at = after + name.length;
  }
  return parts.join('');
}

function nameAt(text: string, start: number): string {
  let end = start;
  while (/[A-Za-z0-9]/.test(text.charAt(end))) end += 1;
  return text.slice(start, end);
}
