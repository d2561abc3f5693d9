import { TaskError } from '../../wire/tasks/task-error.ts';

/** What a step asked of `docker run`. */
export type DockerRunOptions = {
  readonly name: string | undefined;
  readonly env: readonly string[];
  readonly entryPoint: string | undefined;
  readonly workingDirectory: string | undefined;
  readonly user: string | undefined;
  readonly isDetached: boolean;
  readonly network: string | undefined;
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
]);
const withValue = new Set(['--name', '--env', '--entrypoint', '--workdir', '--user', '--publish', '--network']);
const alone = new Set(['--detach', '--rm', '-i', '-t', '-it', '--init']);

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
  if (name !== undefined && !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(name)) {
    throw new TaskError('docker run has a --name that no container can have');
  }
  return {
    name,
    env: (values.get('--env') ?? []).filter((entry) => entry.includes('=')),
    entryPoint: last('--entrypoint'),
    workingDirectory: last('--workdir'),
    user: last('--user'),
    isDetached: last('--detach') === 'true',
    network: last('--network'),
    image,
    arguments: words.slice(at + 1),
  };
}
