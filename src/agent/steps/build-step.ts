import type { ImageReference, RunPlatform } from '../../wire/builds/run-work.ts';
import type { DockerBuildOptions } from '../../wire/tasks/docker-build-options.ts';
import { parseImageName, withHub, withRegistry } from '../../wire/tasks/image-name.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';
import { parseApart } from '../parse-apart.ts';
import { RunFailure } from '../run-failure.ts';
import type { RunRoom } from '../run-room.ts';
import { secretInCell } from './secret-file.ts';

export type BuildStep = {
  readonly stepId: string;
  readonly options: DockerBuildOptions;
  readonly isCached: boolean;
  /** Relative paths begin here: a path as steps see it, or the root of the run's files. */
  readonly workingDirectory: string | undefined;
  /** Folders of secret volumes by the path that the step gives them. */
  readonly mounts: ReadonlyMap<string, string>;
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
  const context = await pathInCell(room, step, options.context, 'context');
  const dockerfile = await dockerfileOf(room, step, context);
  log.say('Scanning for dependencies...');
  const text = await room.cell.read(['head', '-c', String(maxDockerfileBytes), '--', dockerfile], {
    signal: step.signal,
  });
  const [platform = { os: 'linux', architecture: 'amd64' }] = platforms;
  const asked = { text, arguments: givenArguments(options), target: options.target, platform };
  const images = await parseApart('dockerfile', asked, { cell: room.cell, signal: step.signal });
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
    },
    { output: log.output(), signal: step.signal },
  );
  log.say(`Successfully executed container: ${stepId}`);
  const runtime = images.runtime === undefined ? undefined : await referenceOf(room, images.runtime, step.signal);
  const buildtime: ImageReference[] = [];
  // One after another: a Dockerfile may name very many.
  for (const image of images.buildtime) buildtime.push(await referenceOf(room, image, step.signal));
  const gitHead = order.variables.Commit;
  room.made.built.push({
    stepId,
    tags,
    dependencies: {
      buildtime,
      ...(runtime === undefined ? {} : { runtime }),
      ...(gitHead === '' ? {} : { gitHead }),
    },
  });
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

/** A path of the step as a path of the cell, once links are followed. Throws RunFailure when it ends outside the run's files. */
async function pathInCell(room: RunRoom, step: BuildStep, written: string, what: string): Promise<string> {
  const absolute = written.startsWith('/') ? written : `${step.workingDirectory ?? workspaceMount}/${written}`;
  const below =
    absolute === workspaceMount
      ? ''
      : absolute.startsWith(`${workspaceMount}/`)
        ? absolute.slice(workspaceMount.length)
        : undefined;
  const path =
    below === undefined
      ? ''
      : (
          await room.cell
            .read(['realpath', '-e', '--', `${room.workspace}${below}`], { signal: step.signal })
            .catch(() => '')
        ).trim();
  step.signal.throwIfAborted();
  const isInside = path === room.workspace || path.startsWith(`${room.workspace}/`);
  if (!isInside) throw new RunFailure(`unable to prepare ${what}: "${written}" is not among the files of the run`);
  return path;
}

async function dockerfileOf(room: RunRoom, step: BuildStep, context: string): Promise<string> {
  const { file } = step.options;
  if (file !== undefined) return await pathInCell(room, step, file, 'the Dockerfile');
  return await pathInCell(
    room,
    step,
    `${context.replace(room.workspace, workspaceMount)}/Dockerfile`,
    'the Dockerfile',
  );
}

/** Layers are kept beside the first image, where the run may write: elsewhere it would fail at its end. Source: ACR tasks, 2.13 and 7.5. */
function cacheRepositoryOf([first]: readonly string[], registries: readonly string[]): string | undefined {
  if (first === undefined) return undefined;
  const { registry, repository } = parseImageName(first);
  return registry !== undefined && registries.includes(registry) ? `${registry}/${repository}/berth-cache` : undefined;
}

async function referenceOf({ executor }: RunRoom, image: string, signal: AbortSignal): Promise<ImageReference> {
  const name = withHub(parseImageName(image));
  const digest = name.digest ?? (await executor.digestOf(image, signal));
  const tag = name.tag ?? (name.digest === undefined ? 'latest' : undefined);
  return {
    registry: name.registry,
    repository: name.repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
    reference: image,
  };
}
