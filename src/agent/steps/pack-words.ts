import { TaskError } from '../../wire/tasks/task-error.ts';

/** What a step asked of `pack build`. */
export type PackBuild = {
  readonly image: string;
  readonly builder: string;
  /** Of the files, as steps see them. */
  readonly path: string;
  readonly env: ReadonlyMap<string, string>;
  /** Further names of the image. */
  readonly tags: readonly string[];
  readonly runImage: string | undefined;
  readonly process: string | undefined;
  /** Whether the builder is looked for even if it is there. */
  readonly pulls: boolean;
};

const shortNames = new Map([
  ['-B', '--builder'],
  ['-e', '--env'],
  ['-p', '--path'],
  ['-t', '--tag'],
  ['-D', '--default-process'],
]);
const withValue = new Set([
  ...['--builder', '--env', '--path', '--tag', '--run-image', '--default-process', '--pull-policy'],
  // They change nothing here: every image is published, and no builder is trusted less than others: each has what pushes its image.
  ...['--network', '--trust-builder'],
]);
const alone = new Set([
  '--no-pull',
  '--publish',
  '--clear-cache',
  '--no-color',
  '--timestamps',
  '--verbose',
  '-v',
  '-q',
]);

/** Reads the words after `pack`. Throws TaskError for what is not known: it would be left out. Source: pack build --help. */
export function parsePackBuild([verb = '', ...words]: readonly string[]): PackBuild {
  if (verb !== 'build') throw new TaskError(`pack ${verb} is not done in steps; pack build is`);
  const values = new Map<string, string[]>();
  const images: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const written = equals < 0 ? word : word.slice(0, equals);
    const name = shortNames.get(written) ?? written;
    if (!word.startsWith('-')) images.push(word);
    else if (alone.has(name)) values.set(name, ['true']);
    else if (withValue.has(name)) {
      if (equals < 0) at += 1;
      const value = equals < 0 ? words[at] : word.slice(equals + 1);
      if (value === undefined) throw new TaskError(`pack build has ${written} without a value`);
      values.set(name, [...(values.get(name) ?? []), value]);
    } else throw new TaskError(`pack build has the option ${written}, which is not known here`);
  }
  return packBuildOf(values, images);
}

function packBuildOf(values: ReadonlyMap<string, readonly string[]>, [image, ...more]: readonly string[]): PackBuild {
  const last = (name: string) => values.get(name)?.at(-1);
  const builder = last('--builder');
  if (image === undefined || more.length > 0) throw new TaskError('pack build needs exactly one name of an image');
  if (builder === undefined) throw new TaskError('pack build needs --builder and the name of an image');
  const network = last('--network') ?? 'default';
  if (network !== 'default') throw new TaskError(`pack build has --network ${network}, and runs have one network`);
  return {
    image,
    builder,
    path: last('--path') ?? '.',
    env: new Map((values.get('--env') ?? []).map(variableOf)),
    tags: values.get('--tag') ?? [],
    runImage: last('--run-image'),
    process: last('--default-process'),
    pulls: last('--no-pull') === undefined && !['never', 'if-not-present'].includes(last('--pull-policy') ?? ''),
  };
}

/** A name without a value would be that of whoever calls, and nobody does here. */
function variableOf(text: string, index: number): [string, string] {
  const equals = text.indexOf('=');
  const name = text.slice(0, Math.max(0, equals));
  if (/^[A-Za-z_][A-Za-z0-9_.-]{0,99}$/.test(name)) return [name, text.slice(equals + 1)];
  // Nothing is quoted: a piece of a secret would not be hidden.
  throw new TaskError(`pack build: --env number ${index + 1} is not NAME=value`);
}
