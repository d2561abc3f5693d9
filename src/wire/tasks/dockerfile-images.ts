import { type Instruction, parseDockerfile, unquote } from './dockerfile.ts';
import { TaskError } from './task-error.ts';

export type DockerfileInput = {
  readonly text: string;
  readonly arguments: ReadonlyMap<string, string>;
  readonly target: string | undefined;
  /** Of the images that are made. */
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string | undefined };
};

/** Images that a build stands on, as its Dockerfile names them once variables are filled in. */
export type DockerfileImages = {
  /** Under the stage that is the result; undefined for `scratch`. */
  readonly runtime: string | undefined;
  readonly buildtime: readonly string[];
};

type Stage = { readonly name: string | undefined; readonly origin: string };

/**
 * Which images a build uses: the origin of its last stage (or the target) is the runtime one, all others are of build time,
 * also those of `COPY --from=` and `RUN --mount=from=`. Throws TaskError. Source: ACR tasks, 1.8 and 7.5.
 */
export function imagesOfDockerfile(input: DockerfileInput): DockerfileImages {
  const variables = platformVariables(input);
  const stages: Stage[] = [];
  const copied: string[] = [];
  for (const instruction of parseDockerfile(input.text)) {
    if (instruction.keyword === 'FROM') {
      if (isTarget(stages.at(-1), stages.length - 1, input.target)) break;
      stages.push(stageOf(instruction, stages, variables));
    } else if (stages.length === 0) readArgument(instruction, variables, input.arguments);
    else copied.push(...sourcesOf(instruction).map((source) => originOf(source, stages.slice(0, -1))));
  }
  const result = stages.at(-1);
  if (result === undefined) throw new TaskError('unexpected dockerfile format: it has no FROM');
  const hasTarget = input.target === undefined || isTarget(result, stages.length - 1, input.target);
  if (!hasTarget) throw new TaskError(`the Dockerfile has no stage ${input.target}`);
  const others = new Set([...stages.map(({ origin }) => origin), ...copied]);
  const isImage = (name: string) => name !== 'scratch' && name !== '';
  return {
    runtime: isImage(result.origin) ? result.origin : undefined,
    buildtime: [...others].filter((name) => isImage(name) && name !== result.origin),
  };
}

function isTarget(stage: Stage | undefined, index: number, target: string | undefined): boolean {
  if (stage === undefined || target === undefined) return false;
  return stage.name?.toLowerCase() === target.toLowerCase() || String(index) === target;
}

function stageOf({ rest, line }: Instruction, before: readonly Stage[], variables: ReadonlyMap<string, string>): Stage {
  const [, image, name] = /^(\S+)(?:\s+[Aa][Ss]\s+(\S+))?\s*$/.exec(rest) ?? [];
  if (image === undefined)
    throw new TaskError(`unable to understand line ${line} of the Dockerfile: FROM ${rest.slice(0, 60)}`);
  const resolved = fillVariables(unquote(image), variables);
  if (resolved === '') throw new TaskError(`the image of FROM at line ${line} of the Dockerfile is empty: ${image}`);
  return { name, origin: originOf(resolved, before) };
}

/** A stage by its name, or by its number in the file, stands for the image under it. */
function originOf(name: string, stages: readonly Stage[]): string {
  const found = stages.findLast((stage) => stage.name?.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found.origin;
  return /^\d+$/.test(name) ? (stages[Number(name)]?.origin ?? name) : name;
}

/** Variables in these are not filled in: builders do not do so either. */
function sourcesOf({ keyword, flags }: Instruction): string[] {
  if (keyword === 'COPY' || keyword === 'ADD')
    return flags.filter(({ name }) => name === 'from').map(({ value }) => value);
  if (keyword !== 'RUN') return [];
  const mounts = flags.filter(({ name }) => name === 'mount').flatMap(({ value }) => value.split(','));
  return mounts.filter((part) => part.startsWith('from=')).map((part) => part.slice('from='.length));
}

/** An argument given to the build beats the default; the first default counts. */
function readArgument(
  { keyword, rest }: Instruction,
  variables: Map<string, string>,
  given: ReadonlyMap<string, string>,
): void {
  if (keyword !== 'ARG') return;
  for (const word of rest.match(/(?:"[^"]*"|'[^']*'|\S)+/g) ?? []) {
    const [name = '', ...parts] = word.split('=');
    const value = given.get(name) ?? (parts.length === 0 ? undefined : unquote(parts.join('=')));
    if (value !== undefined && !variables.has(name)) variables.set(name, fillVariables(value, variables));
  }
}

function platformVariables({ platform }: DockerfileInput): Map<string, string> {
  const { os, architecture, variant } = platform;
  const name = `${os}/${architecture}${variant === undefined ? '' : `/${variant}`}`;
  return new Map([
    ['TARGETPLATFORM', name],
    ['TARGETOS', os],
    ['TARGETARCH', architecture],
    ['TARGETVARIANT', variant ?? ''],
    ['BUILDPLATFORM', name],
    ['BUILDOS', os],
    ['BUILDARCH', architecture],
    ['BUILDVARIANT', variant ?? ''],
  ]);
}

/** `$X`, `${X}`, `${X:-other}`, `${X:+other}`; what is unknown is empty. */
function fillVariables(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replaceAll(
    /\\\$|\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::?([-+])([^}]*))?\})/g,
    (found, plain: string | undefined, braced: string | undefined, sign: string | undefined, other = '') => {
      if (found === '\\$') return '$';
      const value = variables.get(plain ?? braced ?? '') ?? '';
      if (sign === '-') return value === '' ? other : value;
      if (sign === '+') return value === '' ? '' : other;
      return value;
    },
  );
}
