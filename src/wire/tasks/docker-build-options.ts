import { TaskError } from './task-error.ts';

/** What a person asked of `docker build`. */
export type DockerBuildOptions = {
  readonly tags: readonly string[];
  readonly file: string | undefined;
  readonly arguments: ReadonlyMap<string, string | undefined>;
  readonly target: string | undefined;
  /** `linux/arm64`; several make an index. */
  readonly platforms: readonly string[];
  readonly labels: readonly string[];
  readonly annotations: readonly string[];
  readonly hasCache: boolean;
  readonly pulls: boolean;
  readonly pushes: boolean;
  readonly isSquashed: boolean;
  /** `id=x,src=/path`. */
  readonly secrets: readonly string[];
  readonly addedHosts: readonly string[];
  readonly network: string | undefined;
  readonly context: string;
};

/** Short names, and those that differ, by the name they stand for. */
const otherNames = new Map([
  ['-t', '--tag'],
  ['-f', '--file'],
]);
const withValue = new Set([
  ...['--tag', '--file', '--build-arg', '--target', '--platform', '--label', '--annotation', '--secret'],
  ...['--add-host', '--network'],
]);
const alone = new Set(['--no-cache', '--pull', '--push', '--squash', '--load', '--rm', '--force-rm', '--quiet', '-q']);
/** Say how the result is shown or cached, which changes nothing in it. */
const ignoredWithValue = new Set(['--progress', '--cache-from', '--cache-to', '--builder', '--shm-size', '--ulimit']);

/** Reads the words after `docker build` or `docker buildx build`. Throws TaskError for an option that is not known. */
export function parseDockerBuild(words: readonly string[]): DockerBuildOptions {
  const values = new Map<string, string[]>();
  const contexts: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (!word.startsWith('-') || word === '-') {
      contexts.push(word);
      continue;
    }
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const written = equals < 0 ? word : word.slice(0, equals);
    const name = otherNames.get(written) ?? written;
    const takesValue = withValue.has(name) || ignoredWithValue.has(name);
    if (!takesValue && !alone.has(name))
      throw new TaskError(`docker build has the option ${written}, which is not known here`);
    const hasOwn = equals >= 0;
    if (takesValue && !hasOwn) at += 1;
    const value = hasOwn ? word.slice(equals + 1) : takesValue ? words[at] : 'true';
    if (value === undefined) throw new TaskError(`docker build has ${written} without a value`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  const network = values.get('--network')?.at(-1) ?? 'default';
  if (!['default', 'host'].includes(network)) {
    throw new TaskError(
      `docker build has --network ${network}, and what it runs is on the network of the run: leave it out`,
    );
  }
  const [context, ...more] = contexts;
  if (context === undefined || more.length > 0) {
    throw new TaskError(
      `docker build needs exactly one context, and has ${contexts.length}: ${contexts.join(' ').slice(0, 100)}`,
    );
  }
  return optionsOf(values, context);
}

function optionsOf(values: ReadonlyMap<string, readonly string[]>, context: string): DockerBuildOptions {
  const all = (name: string) => values.get(name) ?? [];
  const isOn = (name: string) => all(name).at(-1) === 'true';
  return {
    tags: all('--tag'),
    file: all('--file').at(-1),
    arguments: new Map(all('--build-arg').map(argumentOf)),
    target: all('--target').at(-1),
    platforms: all('--platform').flatMap((list) => list.split(',')),
    labels: all('--label'),
    annotations: all('--annotation'),
    hasCache: !isOn('--no-cache'),
    pulls: isOn('--pull'),
    pushes: isOn('--push'),
    isSquashed: isOn('--squash'),
    secrets: all('--secret'),
    addedHosts: all('--add-host'),
    network: all('--network').at(-1),
    context,
  };
}

function argumentOf(text: string): [string, string | undefined] {
  const equals = text.indexOf('=');
  return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)];
}
