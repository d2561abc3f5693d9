import { processorsIn } from '../../wire/tasks/processors.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';

/** What a step asked of `docker run`. */
export type DockerRunOptions = {
  readonly name: string | undefined;
  readonly env: readonly string[];
  readonly entryPoint: string | undefined;
  readonly workingDirectory: string | undefined;
  readonly user: string | undefined;
  readonly isDetached: boolean;
  readonly cpus: number | undefined;
  readonly network: string | undefined;
  /** Further names on that network. */
  readonly networkAliases: readonly string[];
  readonly image: string;
  readonly arguments: readonly string[];
};

const names = new Map([
  ['-e', '--env'],
  ['-w', '--workdir'],
  ['-u', '--user'],
  ['-d', '--detach'],
  ['-p', '--publish'],
  ['--net', '--network'],
  ['--net-alias', '--network-alias'],
]);
const withValue = new Set([
  ...['--name', '--env', '--entrypoint', '--workdir', '--user', '--publish', '--network'],
  ...['--network-alias', '--cpus'],
]);
const alone = new Set(['--detach', '--rm', '-i', '-t', '-it', '--init']);

/** Each is in the file of names of every container of its network. */
export const maxAliases = 20;

/** A name for hosts files too. */
export function isContainerName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(text);
}

/** Reads the words after `docker run`. Containers have no port outside. Throws TaskError. */
export function parseDockerRun(words: readonly string[]): DockerRunOptions {
  const values = new Map<string, string[]>();
  let at = 0;
  for (; at < words.length && words[at]?.startsWith('-') === true; at += 1) {
    const word = words[at] ?? '';
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const written = equals < 0 ? word : word.slice(0, equals);
    const name = names.get(written) ?? written;
    if (!withValue.has(name) && !alone.has(name))
      throw new TaskError(`docker run has the option ${written}, which is not known here`);
    const own = equals < 0 ? undefined : word.slice(equals + 1);
    if (withValue.has(name) && own === undefined) at += 1;
    values.set(name, [...(values.get(name) ?? []), own ?? (withValue.has(name) ? (words[at] ?? '') : 'true')]);
  }
  const image = words[at];
  if (image === undefined) throw new TaskError('docker run needs an image');
  const last = (name: string) => values.get(name)?.at(-1);
  const name = last('--name');
  const networkAliases = values.get('--network-alias') ?? [];
  if (name !== undefined && !isContainerName(name))
    throw new TaskError('docker run has a --name that no container can have');
  if (!networkAliases.every(isContainerName) || networkAliases.length > maxAliases)
    throw new TaskError(`docker run has a --network-alias that no container can have, or more than ${maxAliases}`);
  const processors = last('--cpus');
  const cpus = processors === undefined ? undefined : processorsIn(processors);
  if (processors !== undefined && cpus === undefined)
    throw new TaskError('docker run has --cpus without a number of processors such as 1.5');
  return {
    name,
    env: (values.get('--env') ?? []).filter((entry) => entry.includes('=')),
    entryPoint: last('--entrypoint'),
    workingDirectory: last('--workdir'),
    user: last('--user'),
    isDetached: last('--detach') === 'true',
    cpus,
    network: last('--network'),
    networkAliases,
    image,
    arguments: words.slice(at + 1),
  };
}
