import type { ImageReference, RunPlatform } from '../../wire/builds/run-work.ts';
import type { DockerBuildOptions } from '../../wire/tasks/docker-build-options.ts';
import type { DockerfileImages } from '../../wire/tasks/dockerfile-images.ts';
import { parseImageName, withHub, withRegistry } from '../../wire/tasks/image-name.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';
import { RunFailure } from '../run-failure.ts';
import type { BuildDependencies, RunRoom } from '../run-room.ts';
import { secretInCell } from './secret-file.ts';

export type BuildStep = {
  readonly stepId: string;
  readonly options: DockerBuildOptions;
  readonly isCached: boolean;
  /** Relative paths begin here: a path as steps see it, or the root of the run's files. */
  readonly workingDirectory: string | undefined;
  /** Folders of secret volumes by the path that the step gives them. */
  readonly mounts: ReadonlyMap<string, string>;
  /** Where they are fewer than those of the run. */
  readonly cpus: number | undefined;
  readonly signal: AbortSignal;
};

const maxDockerfileBytes = 1024 * 1024;
const workspaceMount = '/workspace';

/** Builds the images of one step, and notes what they stand on. Throws RunFailure, TaskError, ProgramError. Source: ACR tasks, 2.5. */
export async function buildStep(room: RunRoom, step: BuildStep): Promise<void> {
  const { log, executor, order } = room;
  const { options, stepId } = step;
  const tags = options.tags.map((tag) => withRegistry(tag, order.variables.Registry, room.registries));
  const platforms = options.platforms.length === 0 ? order.platforms : options.platforms.map(platformOf);
  const { context, dockerfile, text } = await filesOf(room, step);
  log.say('Scanning for dependencies...');
  const [platform = { os: 'linux', architecture: 'amd64' }] = platforms;
  const asked = { text, arguments: givenArguments(options), target: options.target, platform };
  const images = await room.parse('dockerfile', asked, { cell: room.cell, signal: step.signal });
  log.say('Successfully scanned dependencies');
  log.say(`Launching container with name: ${stepId}`);
  const folders = new Map([...step.mounts, [workspaceMount, room.workspace]]);
  const from = {
    cell: room.cell,
    folders,
    workingDirectory: step.workingDirectory ?? workspaceMount,
    signal: step.signal,
  };
  const secrets = await Promise.all(options.secrets.map((secret) => secretInCell(secret, from)));
  const { target, labels, annotations, hasCache, pulls, pushes, isSquashed, addedHosts } = options;
  await executor.build(
    {
      ...{
        context,
        dockerfile,
        tags,
        platforms,
        secrets,
        target,
        labels,
        annotations,
        hasCache,
        pulls,
        pushes,
        isSquashed,
        addedHosts,
      },
      arguments: options.arguments,
      cacheRepository: step.isCached ? cacheRepositoryOf(tags, room.registries) : undefined,
      cpus: step.cpus,
    },
    { output: log.output(), signal: step.signal },
  );
  log.say(`Successfully executed container: ${stepId}`);
  // Before the next step: that may give a name that this stands on to another image.
  const dependencies = await dependenciesOf(room, images, step.signal);
  room.made.built.push({ stepId, tags, dependencies });
}

async function dependenciesOf(
  { executor, order }: RunRoom,
  images: DockerfileImages,
  signal: AbortSignal,
): Promise<BuildDependencies> {
  const { runtime, buildtime } = images;
  const gitHead = order.variables.Commit;
  const all = [...(runtime === undefined ? [] : [runtime]), ...buildtime];
  const unknown = all.filter((image) => parseImageName(image).digest === undefined);
  const digests = await executor.digestsOf(unknown, signal);
  return {
    buildtime: buildtime.map((image) => referenceOf(image, digests)),
    ...(runtime === undefined ? {} : { runtime: referenceOf(runtime, digests) }),
    ...(gitHead === '' ? {} : { gitHead }),
  };
}

function givenArguments(options: DockerBuildOptions): ReadonlyMap<string, string> {
  return new Map([...options.arguments].map(([name, value]): [string, string] => [name, value ?? '']));
}

/** Source: ACR tasks, 1.2. */
export function platformOf(text: string): RunPlatform {
  const [os, architecture = 'amd64', variant] = text.toLowerCase().split('/');
  const known = (['amd64', 'x86', '386', 'arm', 'arm64'] as const).find((name) => name === architecture);
  if (os !== 'linux' || known === undefined) {
    throw new TaskError(`images are built for linux on amd64, 386, arm and arm64, not for ${text}`);
  }
  return { os, architecture: known, ...(variant === undefined ? {} : { variant }) };
}

/**
 * $1 the run's files, $2 the context, $3 the Dockerfile unless it is the context's own, $4 bytes of it at most. Prints both with their
 * links followed, then the file, where it is among those of the run.
 */
const filesScript = `
context=$(realpath -e -- "$2") || context=
file=$(realpath -e -- "\${3:-$context/Dockerfile}") || file=
printf '%s\\0%s\\0' "$context" "$file"
case "$file" in "$1"/*) head -c "$4" -- "$file" ;; esac
`;

/** Where a build reads, as paths of the cell, and its Dockerfile. Throws RunFailure for what is outside the run's files. */
async function filesOf(
  { cell, workspace }: RunRoom,
  step: BuildStep,
): Promise<{ readonly context: string; readonly dockerfile: string; readonly text: string }> {
  const { context: folder, file } = step.options;
  const written = file ?? `${folder}/Dockerfile`;
  const paths = [
    pathOf(workspace, step, folder, 'context'),
    file === undefined ? '' : pathOf(workspace, step, file, 'the Dockerfile'),
  ];
  const words = ['sh', '-ec', filesScript, 'sh', workspace, ...paths, String(maxDockerfileBytes)];
  const [context = '', dockerfile = '', ...text] = (await cell.read(words, { signal: step.signal })).split('\0');
  if (context !== workspace && !context.startsWith(`${workspace}/`)) throw notAmongFiles('context', folder);
  if (!dockerfile.startsWith(`${workspace}/`)) throw notAmongFiles('the Dockerfile', written);
  return { context, dockerfile, text: text.join('\0') };
}

/** A path of the step as a path of the cell. */
function pathOf(workspace: string, { workingDirectory }: BuildStep, written: string, what: string): string {
  const absolute = written.startsWith('/') ? written : `${workingDirectory ?? workspaceMount}/${written}`;
  if (absolute === workspaceMount) return workspace;
  if (!absolute.startsWith(`${workspaceMount}/`)) throw notAmongFiles(what, written);
  return `${workspace}${absolute.slice(workspaceMount.length)}`;
}

function notAmongFiles(what: string, written: string): RunFailure {
  return new RunFailure(`unable to prepare ${what}: "${written}" is not among the files of the run`);
}

/** Layers are kept beside the first image, where the run may write: elsewhere it would fail at its end. Source: ACR tasks, 2.13 and 7.5. */
function cacheRepositoryOf([first]: readonly string[], registries: readonly string[]): string | undefined {
  if (first === undefined) return undefined;
  const { registry, repository } = parseImageName(first);
  return registry !== undefined && registries.includes(registry) ? `${registry}/${repository}/berth-cache` : undefined;
}

function referenceOf(image: string, digests: ReadonlyMap<string, string>): ImageReference {
  const name = withHub(parseImageName(image));
  const digest = name.digest ?? digests.get(image);
  const tag = name.tag ?? (name.digest === undefined ? 'latest' : undefined);
  return {
    registry: name.registry,
    repository: name.repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
    reference: image,
  };
}
