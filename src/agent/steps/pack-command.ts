import { join } from 'node:path/posix';
import type { ImageReference, OutputImage } from '../../wire/builds/run-work.ts';
import { isImageName, parseImageName, withHub, withRegistry, withTag } from '../../wire/tasks/image-name.ts';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import { parseApart } from '../parse-apart.ts';
import { ProgramError } from '../program.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import type { BuiltImage, RunRoom } from '../run-room.ts';
import { runContainer } from './cmd-step.ts';
import { type PackAuth, packAuth } from './pack-auth.ts';
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
const missingLifecycle = 97;
const missingUser = 98;
const unknownApi = 99;

/**
 * In the builder, as its root: gives the files to the builder's user, finds an interface that the lifecycle speaks, newest
 * first, and becomes the lifecycle, which gives up root before it runs a buildpack. The credentials are a file that is gone
 * by then. Source: buildpacks platform specification, "creator" and "Platform API Compatibility"; ACR tasks, 6.
 */
const script = `
creator=/cnb/lifecycle/creator
[ -x "$creator" ] || exit ${missingLifecycle}
[ -n "\${CNB_USER_ID:-}" ] && [ -n "\${CNB_GROUP_ID:-}" ] || exit ${missingUser}
chown -R "$CNB_USER_ID:$CNB_GROUP_ID" /workspace /layers
found=
for api in \${CNB_PLATFORM_API:-0.15 0.14 0.13 0.12 0.11 0.10 0.9 0.8 0.7 0.6 0.5 0.4 0.3}; do
  export CNB_PLATFORM_API="$api"
  "$creator" -version > /dev/null 2>&1 && found=yes && break
done
[ -n "$found" ] || exit ${unknownApi}
CNB_REGISTRY_AUTH=$(cat /berth/auth/registries)
rm -f /berth/auth/registries
export CNB_REGISTRY_AUTH
exec "$creator" "$@"
`;

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
  const folder = join(room.cell.folder, 'pack', step.id);
  const builder = withTag(asked.builder);
  const read = await runImages(room, asked, signal);
  const auth = await packAuth(room, { pushed: tags, read }, signal);
  const mounts = await prepare(room, step, asked, { auth, folder, signal });
  const flags = [
    ...['-app=/workspace', '-layers=/layers', '-platform=/platform', '-report=/layers/report.toml'],
    ...(asked.runImage === undefined ? [] : [`-run-image=${asked.runImage}`]),
    ...(asked.process === undefined ? [] : [`-process-type=${asked.process}`]),
    ...tags.slice(1).map((tag) => `-tag=${tag}`),
  ];
  const began = room.clock.monotonicMs();
  try {
    await runContainer(
      room,
      { ...step, isDetached: false },
      {
        name: step.id,
        image: builder,
        entryPoint: '/bin/sh',
        arguments: ['-ec', script, 'sh', ...flags, image],
        env: ['SSL_CERT_DIR=/etc/ssl/certs:/etc/pki/tls/certs:/berth/certificates'],
        workingDirectory: undefined,
        user: '0:0',
        isPrivileged: false,
        network: step.network,
        mounts,
        // It is there.
        pulls: false,
      },
      signal,
    );
  } catch (cause) {
    signal.throwIfAborted();
    throw explained(cause, asked.builder, isOver(auth, room.clock.monotonicMs() - began));
  }
  await note(room, step, { asked, tags, folder, signal });
  await room.cell.read(['rm', '-rf', '--', folder], { signal });
}

/** What the image may stand on: what was asked for, or what the builder tells, which is brought for that. */
async function runImages(
  { cell, executor, log }: RunRoom,
  { builder, runImage, pulls }: PackBuild,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const image = withTag(builder);
  if (pulls || (await executor.digestOf(image, signal)) === undefined) {
    try {
      await executor.pull(image, { output: log.output(), signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw new RunFailure(`cannot run the image ${image}: ${reasonOf(cause)}`, { cause });
    }
  }
  if (runImage !== undefined) return [runImage];
  const label = await executor.labelOf(image, 'io.buildpacks.builder.metadata', signal);
  const told = label === undefined ? [] : await parseApart('builderMetadata', label, { cell, signal });
  return told.length === 0 ? [builder] : told;
}

type Surroundings = { readonly folder: string; readonly signal: AbortSignal };

/** The folders that the lifecycle has, by their place in the container: it works on a copy of the run's files. */
async function prepare(
  { cell, workspace, order }: RunRoom,
  step: TaskStep,
  { path, env }: PackBuild,
  { auth, folder, signal }: Surroundings & { readonly auth: PackAuth },
): Promise<ReadonlyMap<string, string>> {
  const written = path.startsWith('/') ? path : join(step.workingDirectory ?? '/workspace', path);
  const below = /^\/workspace(\/.*)?$/.exec(written)?.[1] ?? (written === '/workspace' ? '' : undefined);
  const found =
    below === undefined
      ? ''
      : await cell.read(['realpath', '-e', '--', `${workspace}${below}`], { signal }).catch(() => '');
  signal.throwIfAborted();
  const source = found.trim();
  if (source !== workspace && !source.startsWith(`${workspace}/`))
    throw new RunFailure(`pack build: "${path}" is not among the files of the run`);
  const at = (name: string) => join(folder, name);
  await cell.read(['rm', '-rf', '--', folder], { signal });
  await cell.read(['mkdir', '-p', '--', ...['layers', 'platform/env', 'auth', 'certificates'].map(at)], { signal });
  await cell.read(['cp', '-a', '--', source, at('app')], { signal });
  const write = (name: string, text: string, umask = '022') =>
    cell.read(['sh', '-ec', 'umask "$1"; cat > "$2"', 'sh', umask, at(name)], {
      input: new TextEncoder().encode(text),
      signal,
    });
  for (const [name, value] of env) await write(`platform/env/${name}`, value);
  await write('auth/registries', auth.text, '077');
  if (order.caCertificate !== undefined) await write('certificates/registry.crt', order.caCertificate);
  return new Map([
    ['/workspace', at('app')],
    ['/layers', at('layers')],
    ['/platform', at('platform')],
    ['/berth/auth', at('auth')],
    ['/berth/certificates', at('certificates')],
  ]);
}

function isOver({ lifetimeSeconds }: PackAuth, tookMs: number): boolean {
  return lifetimeSeconds !== undefined && tookMs > lifetimeSeconds * 1_000;
}

function explained(cause: unknown, builder: string, isOver: boolean): unknown {
  if (!(cause instanceof ProgramError)) return cause;
  switch (cause.exitCode) {
    case missingLifecycle:
      return new RunFailure(
        `the builder ${builder} has no lifecycle at /cnb/lifecycle/creator: name a builder of Cloud Native Buildpacks`,
      );
    case missingUser:
      return new RunFailure(`the builder ${builder} names no user for its buildpacks (CNB_USER_ID and CNB_GROUP_ID)`);
    case unknownApi:
      return new RunFailure(
        `the lifecycle of the builder ${builder} speaks none of the platform interfaces 0.3 to 0.15`,
      );
    default:
      if (!isOver) return cause;
      return new RunFailure(
        `${cause.message}; it took longer than the token that it was to push with is good for: let tokens live longer where the server runs (--token-lifetime)`,
        { cause },
      );
  }
}

/** What was made, for the result of the run and the push step. */
async function note(
  { cell, made, executor, order }: RunRoom,
  { id: stepId }: TaskStep,
  of: { readonly asked: PackBuild; readonly tags: readonly string[] } & Surroundings,
): Promise<void> {
  const { asked, tags, folder, signal } = of;
  const read = (name: string) =>
    cell.read(['head', '-c', String(maxReportBytes), '--', join(folder, 'layers', name)], { signal }).catch(() => '');
  const texts = { report: await read('report.toml'), analyzed: await read('analyzed.toml') };
  signal.throwIfAborted();
  const { digest, runImage } = await parseApart('packReport', texts, { cell, signal });
  if (digest === undefined) throw new RunFailure('the lifecycle of the builder ended without telling what it pushed');
  for (const tag of tags) {
    const { registry = '', repository, tag: name = '' } = parseImageName(tag);
    made.pushed.set(tag, new PackedImage({ registry, repository, tag: name, digest }, stepId));
  }
  const builder = withTag(asked.builder);
  const buildtime = [referenceOf(builder, await executor.digestOf(builder, signal))];
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
