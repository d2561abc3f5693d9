import { basename, dirname } from 'node:path/posix';
import type { RunPlatform } from '../../wire/builds/run-work.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';
import type { ImageBuild } from './executor.ts';

/** Statements about an image that BuildKit attaches to it. ACR's images have none. */
export type Attestations = {
  /** `max` tells all of the build, its arguments too. */
  readonly provenance: 'off' | 'min' | 'max';
  /** An image that lists what is in an image, by BuildKit's protocol of SBOM scanners; undefined makes no list. */
  readonly sbomGenerator: string | undefined;
};

/** What becomes of the image: pushed under its names, a file in the cell (of one platform), or nothing but the knowledge that it builds. */
export type BuildOutput =
  | { readonly kind: 'push' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'none' };

export type BuildctlBuild = {
  readonly build: ImageBuild;
  readonly output: BuildOutput;
  readonly attestations: Attestations;
  /** Whether RUN reaches more than nothing. */
  readonly hasNetwork: boolean;
  /** Whose folders `RUN --mount=type=cache` has; others have none of them. */
  readonly cacheNamespace: string;
};

/** A value that the frontend of BuildKit is given, by its name there. Source: BuildKit, frontend/dockerui/config.go. */
export type FrontendValue = readonly [name: string, value: string];

/** The words after `buildctl build`, but for what is in `frontendValues`. Throws TaskError for what BuildKit cannot do. */
export function buildctlWords({ build, output, attestations }: BuildctlBuild): string[] {
  if (build.isSquashed) throw new TaskError('--squash is not done by BuildKit: use several stages and COPY --from');
  return [
    ...['--frontend', 'dockerfile.v0', '--progress', 'rawjson'],
    ...['--local', `context=${build.context}`, '--local', `dockerfile=${dirname(build.dockerfile)}`],
    ...(build.hasCache ? [] : ['--no-cache']),
    ...build.secrets.flatMap((secret) => ['--secret', secret]),
    ...(build.cacheRepository === undefined ? [] : cacheWords(build.cacheRepository, build.target)),
    ...outputWords(build, output, attestations),
  ];
}

/** What may be secret, or much: it goes to BuildKit beside the words, which every user of the machine can list. */
export function frontendValues(task: BuildctlBuild): FrontendValue[] {
  const { build, output, attestations, hasNetwork, cacheNamespace } = task;
  return [
    ['filename', basename(build.dockerfile)],
    ['platform', build.platforms.map(platformName).join(',')],
    ...given(build.arguments).map(([name, value]): FrontendValue => [`build-arg:${name}`, value]),
    // After the arguments: the last of a name counts.
    ['build-arg:BUILDKIT_CACHE_MOUNT_NS', cacheNamespace],
    ...build.labels.map((label): FrontendValue => pairOf('label:', label)),
    ...(build.target === undefined ? [] : [['target', build.target] as const]),
    ...(build.pulls ? [['image-resolve-mode', 'pull'] as const] : []),
    ...(build.addedHosts.length === 0 ? [] : [['add-hosts', build.addedHosts.map(hostOf).join(',')] as const]),
    // Where a command line was given, BuildKit fetches and runs no other frontend, such as `# syntax=` names.
    ...(hasNetwork ? [] : [['force-network-mode', 'none'] as const, ['cmdline', 'dockerfile.v0'] as const]),
    ...(output.kind === 'push' ? attestationValues(attestations) : []),
  ];
}

/** An argument without a value is that of the builder's environment, where there is none. */
function given(values: ReadonlyMap<string, string | undefined>): (readonly [string, string])[] {
  return [...values].flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
}

function attestationValues({ provenance, sbomGenerator }: Attestations): FrontendValue[] {
  return [
    ...(provenance === 'off' ? [] : [['attest:provenance', `mode=${provenance}`] as const]),
    ...(sbomGenerator === undefined ? [] : [['attest:sbom', `generator=${sbomGenerator}`] as const]),
  ];
}

/** One image of layers for each target, in the repository that keeps the layers of the other executor too. An image that is built counts where they cannot be kept. */
function cacheWords(repository: string, target: string | undefined): string[] {
  const reference = `${repository}:buildkit${target === undefined ? '' : `-${target.slice(0, 100)}`}`;
  return [
    ...['--import-cache', `type=registry,ref=${reference}`],
    ...[
      '--export-cache',
      `type=registry,ref=${reference},mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true`,
    ],
  ];
}

function outputWords(build: ImageBuild, output: BuildOutput, attestations: Attestations): string[] {
  if (output.kind === 'none') return [];
  if (output.kind === 'file') return ['--output', fields(['type=docker', `dest=${output.path}`])];
  const isAttested = attestations.provenance !== 'off' || attestations.sbomGenerator !== undefined;
  const isOci = isAttested || build.annotations.length > 0;
  const annotations = build.annotations.map((annotation) => `annotation.${annotation}`);
  const names = `name=${build.tags.join(',')}`;
  return ['--output', fields(['type=image', names, 'push=true', `oci-mediatypes=${isOci}`, ...annotations])];
}

/** A line of comma-separated values. Source: RFC 4180, 2. */
function fields(values: readonly string[]): string {
  return values.map((value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(',');
}

/** `NAME=value`; a name alone has an empty value. */
function pairOf(prefix: string, text: string): FrontendValue {
  const equals = text.indexOf('=');
  return equals < 0 ? [`${prefix}${text}`, ''] : [`${prefix}${text.slice(0, equals)}`, text.slice(equals + 1)];
}

/** `name:address` as people write it. */
function hostOf(text: string): string {
  return text.replace(/[:=]/, '=');
}

function platformName({ os, architecture, variant }: RunPlatform): string {
  const name = architecture === 'x86' ? '386' : architecture;
  return `${os}/${name}${variant === undefined ? '' : `/${variant}`}`;
}
