import { join } from 'node:path/posix';
import type { ImageReference, OutputImage } from '../../wire/builds/run-work.ts';
import { isImageName, parseImageName, withHub, withRegistry, withTag } from '../../wire/tasks/image-name.ts';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import type { ContainerRun } from '../executors/executor.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import type { BuiltImage, RunRoom } from '../run-room.ts';
import { runContainer } from './cmd-step.ts';
import { ownProcessors } from './doable.ts';
import { type PackAuth, packAuth } from './pack-auth.ts';
import type { PackImages } from './pack-credentials.ts';
import { lendAuth, type PackFolders, packFolders, prepareFolders } from './pack-folders.ts';
import {
  isOldLifecycle,
  noUser,
  type PackPhase,
  phaseFailure,
  phases,
  scriptOf,
  wholeLifecycle,
} from './pack-phases.ts';
import type { PackReport } from './pack-report.ts';
import { type PackBuild, parsePackBuild } from './pack-words.ts';

/** The image of buildpacks' own program, under the name that `az acr pack build` writes. */
export const packImage = /^mcr\.microsoft\.com\/oryx\/pack(?::|@|$)/;

/** An image that the lifecycle of its builder has pushed by itself: the push step that follows only tells of it. */
export class PackedImage implements OutputImage {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
  readonly #stepId: string;

  constructor({ registry, repository, tag, digest }: OutputImage, stepId: string) {
    this.registry = registry;
    this.repository = repository;
    this.tag = tag;
    this.digest = digest;
    this.#stepId = stepId;
  }

  /** Whether no later step has built an image of the same name. */
  isLast(name: string, built: readonly BuiltImage[]): boolean {
    return built.findLast(({ tags }) => tags.includes(name))?.stepId === this.#stepId;
  }
}

const maxReportBytes = 1024 * 1024;

/**
 * `pack build` without its program and without an engine: the builder's own lifecycle builds the image and pushes it.
 * Throws RunFailure, TaskError, ProgramError. Source: buildpacks platform specification; ACR tasks, 6.
 */
export async function packCommand(
  room: RunRoom,
  step: TaskStep,
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const asked = parsePackBuild(words);
  const own = room.order.variables.Registry;
  const image = withRegistry(asked.image, own, room.registries);
  const tags = [image, ...asked.tags.map((tag) => withRegistry(tag, own, room.registries))];
  const folders = packFolders(room, step);
  const { read, user } = await lookAtBuilder(room, asked, signal);
  const lifecycle: Lifecycle = { room, step, asked, tags, folders, images: { pushed: tags, read }, user, signal };
  await prepareFolders(room, step, asked, folders, signal);
  await runPhases(lifecycle);
  await note(lifecycle);
  await room.cell.read(['rm', '-rf', '--', folders.root], { signal });
}

type Lifecycle = {
  readonly room: RunRoom;
  readonly step: TaskStep;
  readonly asked: PackBuild;
  /** Full names of the image. */
  readonly tags: readonly string[];
  readonly folders: PackFolders;
  readonly images: PackImages;
  /** `1000:1000`: as whom buildpacks run. */
  readonly user: string | undefined;
  readonly signal: AbortSignal;
};

async function runPhases(lifecycle: Lifecycle): Promise<void> {
  for (const phase of phases) {
    try {
      await runPhase(lifecycle, phase);
    } catch (cause) {
      if (!isOldLifecycle(cause)) throw cause;
      return await runPhase(lifecycle, wholeLifecycle);
    }
  }
}

/** Each in a container of its own. One that signs in gets tokens that are new: those of the phase before may have ended meanwhile. */
async function runPhase(lifecycle: Lifecycle, phase: PackPhase): Promise<void> {
  const { room, step, asked, tags, folders, images, signal } = lifecycle;
  const auth = phase.isConnected ? await packAuth(room, images, signal) : undefined;
  if (auth !== undefined) await lendAuth(room, folders, auth.text, signal);
  room.log.plain(`===> ${phase.title}\n`);
  const began = room.clock.monotonicMs();
  const words = ['-ec', scriptOf(phase), 'sh', phase.program, ...phase.words(asked, tags)];
  const container = containerOf(lifecycle, phase, words);
  try {
    await runContainer(room, { ...step, isDetached: false }, container, signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (isOldLifecycle(cause)) throw cause;
    throw phaseFailure(cause, asked.builder, auth !== undefined && isOver(auth, room.clock.monotonicMs() - began));
  }
}

function containerOf(
  { room, step, asked, folders, user }: Lifecycle,
  { isConnected }: PackPhase,
  words: readonly string[],
): ContainerRun {
  if (!isConnected && user === undefined) throw noUser(asked.builder);
  const { app, layers, platform, auth, certificates } = folders;
  return {
    name: step.id,
    image: withTag(asked.builder),
    entryPoint: '/bin/sh',
    arguments: words,
    env: ['SSL_CERT_DIR=/etc/ssl/certs:/etc/pki/tls/certs:/berth/certificates'],
    workingDirectory: undefined,
    user: isConnected ? '0:0' : user,
    isPrivileged: false,
    network: step.network,
    aliases: [],
    mounts: new Map([
      ['/workspace', app],
      ['/layers', layers],
      ['/platform', platform],
      ['/berth/certificates', certificates],
      ...(isConnected ? [['/berth/auth', auth] as const] : []),
    ]),
    // It is there.
    pulls: false,
    cpus: ownProcessors(step, room.order),
  };
}

/** What the image may stand on: what was asked for, or what the builder tells, which is brought for that. And its user. */
async function lookAtBuilder(
  { cell, executor, log, parse }: RunRoom,
  { builder, runImage, pulls }: PackBuild,
  signal: AbortSignal,
): Promise<{ readonly read: readonly string[]; readonly user: string | undefined }> {
  const image = withTag(builder);
  if (pulls || !(await executor.digestsOf([image], signal)).has(image)) {
    try {
      await executor.pull(image, { output: log.output(), signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw new RunFailure(`cannot run the image ${image}: ${reasonOf(cause)}`, { cause });
    }
  }
  const { labels, env } = await executor.configOf(image, signal);
  const user = userIn(env);
  if (runImage !== undefined) return { read: [runImage], user };
  const label = labels['io.buildpacks.builder.metadata'];
  const told = label === undefined ? [] : await parse('builderMetadata', label, { cell, signal });
  return { read: told.length === 0 ? [builder] : told, user };
}

/** Source: buildpacks platform specification, "Build Image". */
function userIn(env: readonly string[]): string | undefined {
  const idOf = (name: string) => env.findLast((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
  const user = `${idOf('CNB_USER_ID')}:${idOf('CNB_GROUP_ID')}`;
  return /^\d{1,9}:\d{1,9}$/.test(user) ? user : undefined;
}

function isOver({ lifetimeSeconds }: PackAuth, tookMs: number): boolean {
  return lifetimeSeconds !== undefined && tookMs > lifetimeSeconds * 1_000;
}

/** What was made, for the result of the run and the push step. */
async function note({ room, step, asked, tags, folders, signal }: Lifecycle): Promise<void> {
  const { cell, made, executor, order, parse } = room;
  const stepId = step.id;
  const read = (name: string) =>
    cell.read(['head', '-c', String(maxReportBytes), '--', join(folders.layers, name)], { signal }).catch(() => '');
  const texts = { report: await read('report.toml'), analyzed: await read('analyzed.toml') };
  signal.throwIfAborted();
  const { digest, runImage } = await parse('packReport', texts, { cell, signal });
  if (digest === undefined) throw new RunFailure('the lifecycle of the builder ended without telling what it pushed');
  for (const tag of tags) {
    const { registry = '', repository, tag: name = '' } = parseImageName(tag);
    made.pushed.set(tag, new PackedImage({ registry, repository, tag: name, digest }, stepId));
  }
  const builder = withTag(asked.builder);
  const digests = await executor.digestsOf([builder], signal);
  const buildtime = [referenceOf(builder, digests.get(builder))];
  const runtime = runtimeOf(runImage);
  const gitHead = order.variables.Commit;
  const dependencies = { buildtime, ...(runtime && { runtime }), ...(gitHead === '' ? {} : { gitHead }) };
  made.built.push({ stepId, tags, dependencies });
}

function runtimeOf(found: PackReport['runImage']): ImageReference | undefined {
  return found === undefined || !isImageName(found.image) ? undefined : referenceOf(withTag(found.image), found.digest);
}

function referenceOf(image: string, found: string | undefined): ImageReference {
  const { registry, repository, tag, digest = found } = withHub(parseImageName(image));
  return {
    ...{ registry, repository, reference: image },
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}
