import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { formatImageName, parseImageName, withHub, withTag } from '../../wire/tasks/image-name.ts';
import { ProgramError } from '../program.ts';
import { RunFailure } from '../run-failure.ts';
import { type BuildKitAddress, connectBuildKit } from './buildkit-address.ts';
import { openBuildKitDoor } from './buildkit-door.ts';
import { loadImages } from './buildkit-load.ts';
import { sourcePolicyOf } from './buildkit-policy.ts';
import { BuildKitProgress } from './buildkit-progress.ts';
import { type Attestations, type BuildOutput, buildctlWords, frontendValues } from './buildkit-words.ts';
import { type Cell, givenFile } from './cell.ts';
import type { Executor, ExecutorOptions, ImageBuild } from './executor.ts';

/** Of an agent: which BuildKit it builds with, and what that attaches to images. */
export type BuildKitSettings = {
  readonly address: BuildKitAddress;
  /** Path of buildctl on this machine; a copy of it goes into each run's cell, so that it may lie anywhere. */
  readonly program: string;
  readonly attestations: Attestations;
};

export type BuildKitParts = {
  readonly cell: Cell;
  readonly settings: BuildKitSettings;
  /** Of HTTP proxies and their like: buildctl asks registries for tokens. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether a build reaches what BuildKit's own network reaches, or nothing but `servers`. */
  readonly hasNetwork: boolean;
  /** Registries of the run's installation. */
  readonly servers: readonly string[];
  /** Builds of another one have other cached folders. */
  readonly cacheNamespace: string;
  /** Texts that no attestation may show. */
  readonly masked: readonly string[];
};

/** Why a build has no processors of its own. */
export const unheldBuild = 'it is built by BuildKit, outside of its run; leave cpus out of the step';

const firstPort = 3_130;
const maxBuilds = 2_000;
const certificates = '/etc/containers/certs.d';

/**
 * Builds images with BuildKit, and does all else with `base`. buildctl runs in the cell, where the files of the run are, and
 * reaches BuildKit through a door for that one build; when it ends, or is ended, so does the build in BuildKit.
 *
 * An image that is to be pushed goes from BuildKit straight to the registry under all its names; others come into the cell,
 * where later steps use them. BuildKit itself fetches base images and pushes, with tokens that buildctl gets with the run's
 * own credentials: it has to reach the registry under its name, and trust its certificate.
 * Source: buildctl(1); ACR tasks, 2.13 and 7.3.
 */
export function withBuildKit(base: Executor, parts: BuildKitParts): Executor {
  const { cell } = parts;
  const pushed = new Map<string, string>();
  const builder = new BuildKitBuilder(parts);

  return {
    ...base,
    signIn: async (server, username, password, options) => {
      await base.signIn(server, username, password, options);
      builder.keepLogin(server, username, password);
    },
    keepLogin: (server, username, password) => {
      base.keepLogin(server, username, password);
      builder.keepLogin(server, username, password);
    },
    build: async (build, options) => {
      if (build.cpus !== undefined)
        throw new RunFailure(`the image cannot be built with ${build.cpus} processors: ${unheldBuild}`);
      for (const tag of build.tags) pushed.delete(tag);
      await builder.inFolder(async (folder) => {
        // Without names there is nothing that a later step could ask for.
        if (build.tags.length === 0) await builder.build(folder, build, { kind: 'none' }, options);
        else if (!build.pushes)
          await loadImages(cell, await archivesOf(folder, build, options), build.tags, options.signal);
        else {
          await builder.build(folder, build, { kind: 'push' }, options);
          const digest = await digestIn(cell, folder);
          for (const tag of build.tags) pushed.set(tag, digest);
        }
      });
    },
    push: async (image, options) => pushed.get(image) ?? (await base.push(image, options)),
    tag: async (from, to, options) => {
      if (pushed.has(from)) await base.pull(from, options);
      pushed.delete(to);
      await base.tag(from, to, options);
    },
    digestsOf: async (images, signal) => {
      const resolved = new Map<string, string>();
      for (const image of images) {
        const digest = builder.resolved.get(formatImageName(withHub(parseImageName(withTag(image)))));
        if (digest !== undefined) resolved.set(image, digest);
      }
      const others = images.filter((image) => !resolved.has(image));
      return new Map([...resolved, ...(await base.digestsOf(others, signal))]);
    },
  };

  /** One for each platform: an archive of several has no way into buildah's store. */
  async function archivesOf(folder: string, build: ImageBuild, options: ExecutorOptions): Promise<readonly string[]> {
    const archives: string[] = [];
    for (const platform of build.platforms) {
      const path = `${folder}/image-${archives.length}.tar`;
      await builder.build(folder, { ...build, platforms: [platform] }, { kind: 'file', path }, options);
      archives.push(path);
    }
    return archives;
  }
}

/** Runs buildctl, each time with a door of its own. */
class BuildKitBuilder {
  /** Images that were used, by full name: what BuildKit resolved them to. */
  readonly resolved = new Map<string, string>();
  readonly #parts: BuildKitParts;
  readonly #logins = new Map<string, { readonly auth: string }>();
  #program: Promise<string> | undefined;
  #builds = 0;

  constructor(parts: BuildKitParts) {
    this.#parts = parts;
  }

  keepLogin(server: string, username: string, password: string): void {
    const auth = Buffer.from(`${username}:${password}`).toString('base64');
    this.#logins.set(configKeyOf(server), { auth });
  }

  /** A folder of the cell for one work; it is gone afterwards, or with the cell. */
  async inFolder(work: (folder: string) => Promise<void>): Promise<void> {
    const { cell } = this.#parts;
    const folder = `${cell.folder}/tmp/buildkit-${this.#next()}`;
    await cell.read(['mkdir', '-p', '--', folder]);
    try {
      await work(folder);
    } finally {
      await cell.read(['rm', '-rf', '--', folder]).catch(() => undefined);
    }
  }

  /** Throws ProgramError with the code of the command that failed, RunFailure where BuildKit is not reached. */
  async build(
    folder: string,
    build: ImageBuild,
    target: BuildOutput,
    { output, signal }: ExecutorOptions,
  ): Promise<void> {
    const { cell, env, settings, hasNetwork, servers, cacheNamespace } = this.#parts;
    this.#program ??= copyProgram(cell, settings.program);
    const program = await this.#program;
    const attestations = attestationsOf(this.#parts, build);
    const task = { build, output: target, hasNetwork, cacheNamespace, attestations };
    const words = [...buildctlWords(task), '--metadata-file', metadataFile(folder), ...(await trustWords(cell))];
    if (!hasNetwork) words.push(...(await policyWords(cell, folder, servers)));
    const upstream = await connectBuildKit(settings.address, signal);
    const door = await openBuildKitDoor({
      ...{ cell, upstream, values: frontendValues(task) },
      port: firstPort + this.#next(),
    });
    const progress = new BuildKitProgress();
    const show = async (text: string) => {
      if (text !== '') await output.add(new TextEncoder().encode(text));
    };
    try {
      const code = await cell.run([...hidingWords, program, '--addr', door.address, 'build', ...words], {
        signal,
        env: { ...env, DOCKER_CONFIG: configFolder },
        given: JSON.stringify({ auths: Object.fromEntries(this.#logins) }),
        onOutput: (chunk) => show(progress.add(chunk)),
      });
      await show(progress.end());
      if (code !== 0) throw new ProgramError('buildctl', progress.exitCode ?? code, '');
      for (const [name, digest] of progress.resolved) this.resolved.set(name, digest);
    } finally {
      door.close();
      await output.end();
    }
  }

  #next(): number {
    this.#builds += 1;
    if (this.#builds > maxBuilds) throw new RunFailure(`a run builds at most ${maxBuilds / 2} images with BuildKit`);
    return this.#builds;
  }
}

/** With all of a build, its secret arguments would be in the registry for everybody who may pull. */
function attestationsOf({ settings, masked }: BuildKitParts, build: ImageBuild): Attestations {
  const { attestations } = settings;
  const values = [...build.arguments.values(), ...build.labels];
  const isSecret = values.some((value) => masked.some((secret) => secret !== '' && value?.includes(secret)));
  return attestations.provenance === 'max' && isSecret ? { ...attestations, provenance: 'min' } : attestations;
}

const configFolder = '/dev/shm/docker';

/** Its `/dev/shm`, with the credentials, is seen by buildctl alone, and gone with it. */
const hidingScript = `mount -t tmpfs tmpfs /dev/shm; mkdir ${configFolder}; cat ${givenFile} > ${configFolder}/config.json; exec "$@"`;
const hidingWords = ['unshare', '--mount', '--', 'sh', '-ec', hidingScript, 'sh'];

/** Docker Hub is kept under the name it had first. */
function configKeyOf(server: string): string {
  const host = server.replace(/^https?:\/\//, '').split('/')[0] ?? '';
  return ['docker.io', 'index.docker.io', 'registry-1.docker.io'].includes(host) ? 'https://index.docker.io/v1/' : host;
}

/** The authorities of the run's registries, for the requests of tokens. */
async function trustWords(cell: Cell): Promise<string[]> {
  const listed = await cell.read(['ls', '-1', '--', certificates]);
  const servers = listed.split('\n').filter((name) => name !== '');
  return servers.flatMap((server) => [
    '--registry-auth-tlscontext',
    `host=${server},ca=${certificates}/${server}/ca.crt`,
  ]);
}

async function policyWords(cell: Cell, folder: string, servers: readonly string[]): Promise<string[]> {
  const path = `${folder}/policy.json`;
  await cell.read(['tee', '--', path], { input: Buffer.from(sourcePolicyOf(servers)) });
  return ['--source-policy-file', path];
}

/** What is in `/usr` is in the cell already. */
async function copyProgram(cell: Cell, path: string): Promise<string> {
  if (path.startsWith('/usr/')) return path;
  const copy = `${cell.folder}/tmp/buildctl`;
  await cell.read(['dd', 'bs=1M', 'status=none', `of=${copy}`], { input: await readFile(path) });
  await cell.read(['chmod', '755', '--', copy]);
  return copy;
}

const metadataSchema = z.object({ 'containerimage.digest': z.string() });

function metadataFile(folder: string): string {
  return `${folder}/metadata.json`;
}

async function digestIn(cell: Cell, folder: string): Promise<string> {
  const parsed = metadataSchema.safeParse(JSON.parse(await cell.read(['cat', '--', metadataFile(folder)])));
  if (!parsed.success) throw new RunFailure('BuildKit did not tell the digest of what it pushed: use a newer one');
  return parsed.data['containerimage.digest'];
}
