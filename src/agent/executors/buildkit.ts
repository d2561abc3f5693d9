import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { formatImageName, parseImageName, withHub, withTag } from '../../wire/tasks/image-name.ts';
import { ProgramError } from '../program.ts';
import { RunFailure } from '../run-failure.ts';
import { type BuildKitAddress, connectBuildKit } from './buildkit-address.ts';
import { openBuildKitDoor } from './buildkit-door.ts';
import { loadImages } from './buildkit-load.ts';
import { BuildKitProgress } from './buildkit-progress.ts';
import {
  type Attestations,
  type BuildctlBuild,
  type BuildOutput,
  buildctlWords,
  frontendValues,
} from './buildkit-words.ts';
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
  /** Whether RUN reaches what BuildKit's own network reaches, or nothing. */
  readonly hasNetwork: boolean;
  /** Texts that no attestation may show. */
  readonly masked: readonly string[];
};

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
  const logins = new Map<string, { readonly auth: string }>();
  const pushed = new Map<string, string>();
  const resolved = new Map<string, string>();
  let program: Promise<string> | undefined;
  let builds = 0;
  const nextBuild = () => {
    builds += 1;
    if (builds > maxBuilds) throw new RunFailure(`a run builds at most ${maxBuilds} images with BuildKit`);
    return builds;
  };

  return {
    ...base,
    signIn: async (server, username, password, options) => {
      await base.signIn(server, username, password, options);
      const auth = Buffer.from(`${username}:${password}`).toString('base64');
      logins.set(configKeyOf(server), { auth });
    },
    build: async (build, options) => {
      for (const tag of build.tags) pushed.delete(tag);
      program ??= copyProgram(cell, parts.settings.program);
      const buildctlPath = await program;
      const folder = `${cell.folder}/tmp/buildkit-${nextBuild()}`;
      await cell.read(['mkdir', '-p', '--', folder]);
      const buildTo = async (each: ImageBuild, output: BuildOutput) => {
        const task = { build: each, output, hasNetwork: parts.hasNetwork, attestations: attestationsOf(parts, each) };
        const places = { program: buildctlPath, port: firstPort + nextBuild(), metadata: `${folder}/metadata.json` };
        await buildctl(parts, { task, places, config: { auths: Object.fromEntries(logins) }, resolved }, options);
        return places.metadata;
      };
      try {
        // Without names there is nothing that a later step could ask for.
        if (build.tags.length === 0) await buildTo(build, { kind: 'none' });
        else if (build.pushes) {
          const digest = await digestIn(cell, await buildTo(build, { kind: 'push' }));
          for (const tag of build.tags) pushed.set(tag, digest);
        } else {
          const paths: string[] = [];
          for (const platform of build.platforms) {
            const path = `${folder}/image-${paths.length}.tar`;
            await buildTo({ ...build, platforms: [platform] }, { kind: 'file', path });
            paths.push(path);
          }
          await loadImages(cell, paths, build.tags, options.signal);
        }
      } finally {
        // With the cell otherwise.
        await cell.read(['rm', '-rf', '--', folder]).catch(() => undefined);
      }
    },
    push: async (image, options) => pushed.get(image) ?? (await base.push(image, options)),
    tag: async (from, to, options) => {
      if (pushed.has(from)) await base.pull(from, options);
      pushed.delete(to);
      await base.tag(from, to, options);
    },
    digestOf: async (image, signal) =>
      resolved.get(formatImageName(withHub(parseImageName(withTag(image))))) ?? (await base.digestOf(image, signal)),
  };
}

/** With all of a build, its secret arguments would be in the registry for everybody who may pull. */
function attestationsOf({ settings, masked }: BuildKitParts, build: ImageBuild): Attestations {
  const { attestations } = settings;
  const values = [...build.arguments.values(), ...build.labels];
  const isSecret = values.some((value) => masked.some((secret) => secret !== '' && value?.includes(secret)));
  return attestations.provenance === 'max' && isSecret ? { ...attestations, provenance: 'min' } : attestations;
}

type Build = {
  readonly task: BuildctlBuild;
  readonly places: { readonly program: string; readonly port: number; readonly metadata: string };
  /** Docker's, with the credentials. */
  readonly config: unknown;
  readonly resolved: Map<string, string>;
};

async function buildctl(
  parts: BuildKitParts,
  { task, places, config, resolved }: Build,
  { output, signal }: ExecutorOptions,
): Promise<void> {
  const { cell, env, settings } = parts;
  const words = [...buildctlWords(task), '--metadata-file', places.metadata, ...(await trustWords(cell))];
  const upstream = await connectBuildKit(settings.address, signal);
  const door = await openBuildKitDoor({ cell, port: places.port, upstream, values: frontendValues(task) });
  const progress = new BuildKitProgress();
  const encoder = new TextEncoder();
  const show = async (text: string) => {
    if (text !== '') await output.add(encoder.encode(text));
  };
  try {
    const code = await cell.run([...hidingWords, places.program, '--addr', door.address, 'build', ...words], {
      signal,
      env: { ...env, DOCKER_CONFIG: configFolder },
      given: JSON.stringify(config),
      onOutput: (chunk) => show(progress.add(chunk)),
    });
    await show(progress.end());
    if (code !== 0) throw new ProgramError('buildctl', progress.exitCode ?? code, '');
    for (const [name, digest] of progress.resolved) resolved.set(name, digest);
  } finally {
    door.close();
    await output.end();
  }
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

/** What is in `/usr` is in the cell already. */
async function copyProgram(cell: Cell, path: string): Promise<string> {
  if (path.startsWith('/usr/')) return path;
  const copy = `${cell.folder}/tmp/buildctl`;
  await cell.read(['tee', '--', copy], { input: await readFile(path), onOutput: () => undefined });
  await cell.read(['chmod', '755', '--', copy]);
  return copy;
}

const metadataSchema = z.object({ 'containerimage.digest': z.string() });

async function digestIn(cell: Cell, metadataFile: string): Promise<string> {
  const parsed = metadataSchema.safeParse(JSON.parse(await cell.read(['cat', '--', metadataFile])));
  if (!parsed.success) throw new RunFailure('BuildKit did not tell the digest of what it pushed: use a newer one');
  return parsed.data['containerimage.digest'];
}
