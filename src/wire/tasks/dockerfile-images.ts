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

const maxStages = 1_000;
const maxImages = 1_000;
/** Of all values together: those that stand for each other may double each time. */
const maxFilledLength = 1024 * 1024;

/**
 * Which images a build uses: the origin of its last stage (or the target) is the runtime one, all others are of build time,
 * also those of `COPY --from=` and `RUN --mount=from=`. Throws TaskError. Source: ACR tasks, 1.8 and 7.5.
 */
export function imagesOfDockerfile(input: DockerfileInput): DockerfileImages {
  const variables = new Variables(platformVariables(input));
  const stages = new Stages();
  const origins = new Set<string>();
  const copied = new Set<string>();
  for (const instruction of parseDockerfile(input.text)) {
    if (instruction.keyword === 'FROM') {
      if (stages.isLast(input.target)) break;
      origins.add(stages.begin(stageOf(instruction, variables)));
    } else if (stages.last === undefined) readArgument(instruction, variables, input.arguments);
    else for (const source of sourcesOf(instruction)) copied.add(stages.originOf(source));
    if (copied.size > maxImages) throw new TaskError(`the Dockerfile copies from more than ${maxImages} images`);
  }
  const result = stages.last;
  if (result === undefined) throw new TaskError('unexpected dockerfile format: it has no FROM');
  const hasTarget = input.target === undefined || stages.isLast(input.target);
  if (!hasTarget) throw new TaskError(`the Dockerfile has no stage ${input.target}`);
  const others = new Set([...origins, ...copied]);
  const isImage = (name: string) => name !== 'scratch' && name !== '';
  return {
    runtime: isImage(result.origin) ? result.origin : undefined,
    buildtime: [...others].filter((name) => isImage(name) && name !== result.origin),
  };
}

type Stage = { readonly name: string | undefined; readonly origin: string };

/** Those so far. */
class Stages {
  last: Stage | undefined;
  /** Of all but the last: a stage by its name, or by its number in the file, stands for the image under it. */
  readonly #origins = new Map<string, string>();
  #count = 0;

  /** The image under it. */
  begin({ name, image }: { readonly name: string | undefined; readonly image: string }): string {
    if (this.#count >= maxStages) throw new TaskError(`the Dockerfile has more than ${maxStages} stages`);
    if (this.last !== undefined) {
      this.#origins.set(String(this.#count - 1), this.last.origin);
      if (this.last.name !== undefined) this.#origins.set(this.last.name, this.last.origin);
    }
    this.#count += 1;
    this.last = { name: name?.toLowerCase(), origin: this.originOf(image) };
    return this.last.origin;
  }

  isLast(target: string | undefined): boolean {
    if (this.last === undefined || target === undefined) return false;
    return this.last.name === target.toLowerCase() || String(this.#count - 1) === target;
  }

  originOf(name: string): string {
    return this.#origins.get(name.toLowerCase()) ?? name;
  }
}

function stageOf({ rest, line }: Instruction, variables: Variables): { name: string | undefined; image: string } {
  const [, image, name] = /^(\S+)(?:\s+[Aa][Ss]\s+(\S+))?\s*$/.exec(rest) ?? [];
  if (image === undefined)
    throw new TaskError(`unable to understand line ${line} of the Dockerfile: FROM ${rest.slice(0, 60)}`);
  const resolved = variables.fill(unquote(image));
  if (resolved === '') throw new TaskError(`the image of FROM at line ${line} of the Dockerfile is empty: ${image}`);
  return { name, image: resolved };
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
function readArgument({ keyword, rest }: Instruction, variables: Variables, given: ReadonlyMap<string, string>): void {
  if (keyword !== 'ARG') return;
  for (const word of rest.match(/(?:"[^"]*"|'[^']*'|\S)+/g) ?? []) {
    const [name = '', ...parts] = word.split('=');
    const value = given.get(name) ?? (parts.length === 0 ? undefined : unquote(parts.join('=')));
    if (value !== undefined && !variables.has(name)) variables.set(name, variables.fill(value));
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

class Variables {
  readonly #values: Map<string, string>;
  #filledLength = 0;

  constructor(values: Map<string, string>) {
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  set(name: string, value: string): void {
    this.#values.set(name, value);
  }

  /** `$X`, `${X}`, `${X:-other}`, `${X:+other}`; what is unknown is empty. Throws TaskError. */
  fill(text: string): string {
    return text.replaceAll(
      /\\\$|\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::?([-+])([^}]{0,1000}))?\})/g,
      (found, plain: string | undefined, braced: string | undefined, sign: string | undefined, other = '') => {
        if (found === '\\$') return '$';
        const value = this.#values.get(plain ?? braced ?? '') ?? '';
        const filled = sign === '-' ? value || other : sign === '+' ? value && other : value;
        this.#filledLength += filled.length;
        if (this.#filledLength > maxFilledLength)
          throw new TaskError('the values of arguments in the Dockerfile are larger than 1 MiB together');
        return filled;
      },
    );
  }
}
