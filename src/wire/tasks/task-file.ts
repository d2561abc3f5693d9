import { z } from 'zod';
import { type DockerBuildOptions, parseDockerBuild } from './docker-build-options.ts';
import { processorsIn } from './processors.ts';
import { TaskError } from './task-error.ts';
import { parseYaml, prepareSecretsText, prepareTaskText, type TaskTextInput } from './task-text.ts';
import { maxVaultSecrets, type VaultSecret, vaultSecretsOf, writtenSecretsSchema } from './vault-secret.ts';
import { splitWords } from './words.ts';

export const defaultNetwork = 'acb_default_network';
const defaultVersion = 'v1.0.0';
const versions = ['1.0-preview-1', 'v1.0.0', 'v1.1.0'];
const defaultStepTimeout = 600;
const defaultRetryDelay = 5;
const maxTimes = 1_000;
/** Of one list. */
const maxEntries = 1_000;
const maxVolumes = 100;
const maxNetworks = 100;
/** No run takes longer, so longer waits and limits are this. */
const maxSeconds = 28_800;

/** A text as people write it in YAML: a number or a truth value counts as its text. */
const text = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const truth = z
  .union([z.boolean(), z.enum(['true', 'false', 'yes', 'no', 'on', 'off'])])
  .transform((value) => value === true || value === 'true' || value === 'yes' || value === 'on');
const count = z.coerce.number().int();
const times = count.max(maxTimes);
const texts = z.array(text).max(maxEntries);

const volumeMountSchema = z.object({ name: text, mountPath: text });
const stepSchema = z.object({
  build: text.nullish(),
  push: texts.nullish(),
  cmd: text.nullish(),
  id: text.nullish(),
  when: texts.nullish(),
  timeout: count.nullish(),
  startDelay: count.nullish(),
  env: texts.nullish(),
  workingDirectory: text.nullish(),
  disableWorkingDirectoryOverride: truth.nullish(),
  entryPoint: text.nullish(),
  user: text.nullish(),
  privileged: truth.nullish(),
  network: text.nullish(),
  ports: texts.nullish(),
  expose: texts.nullish(),
  cpus: text.nullish(),
  isolation: text.nullish(),
  volumeMounts: z.array(volumeMountSchema).max(maxVolumes).nullish(),
  detach: truth.nullish(),
  keep: truth.nullish(),
  pull: truth.nullish(),
  ignoreErrors: truth.nullish(),
  retries: times.nullish(),
  retryDelay: count.nullish(),
  retryOnErrors: texts.nullish(),
  repeat: times.nullish(),
  cache: text.nullish(),
});
const networkSchema = z.object({
  name: text,
  driver: text.nullish(),
  ipv6: truth.nullish(),
  skipCreation: truth.nullish(),
  isDefault: truth.nullish(),
});
/** Without the rest, which may want the values of these first. */
const taskSecretsSchema = z.object({ secrets: writtenSecretsSchema.nullish() });
const taskSchema = z.object({
  version: text.nullish(),
  stepTimeout: count.nullish(),
  workingDirectory: text.nullish(),
  env: texts.nullish(),
  secrets: writtenSecretsSchema.nullish(),
  networks: z.array(networkSchema).max(maxNetworks).nullish(),
  volumes: z
    .array(z.object({ name: text, secret: z.record(z.string(), text).nullish() }))
    .max(maxVolumes)
    .nullish(),
  steps: z.array(stepSchema).max(1000).nullish(),
});
type StepInput = z.infer<typeof stepSchema>;
type TaskInput = z.infer<typeof taskSchema>;

export type StepWork =
  | {
      readonly kind: 'build';
      readonly options: DockerBuildOptions;
      readonly isCached: boolean;
      /** Whether a step that follows pushes what it builds; else it does so itself where its options say so. */
      readonly hasPushStep: boolean;
    }
  | { readonly kind: 'push'; readonly images: readonly string[] }
  /** An image and its arguments. */
  | { readonly kind: 'cmd'; readonly text: string };

/** One step, with what the task gives it. Times are seconds. Source: ACR tasks, 2.6. */
export type TaskStep = {
  readonly id: string;
  /** Undefined: after the step before; empty: at once. */
  readonly when: readonly string[] | undefined;
  readonly work: StepWork;
  readonly timeout: number;
  readonly startDelay: number;
  readonly env: readonly string[];
  readonly workingDirectory: string | undefined;
  readonly entryPoint: string | undefined;
  readonly user: string | undefined;
  readonly isPrivileged: boolean;
  /** Undefined: that of all steps that are on none by name. */
  readonly network: string | undefined;
  /** Every port of a container is open to the other steps, and none outside; so these say nothing more. */
  readonly ports: readonly string[];
  /** Processors that it may use, where it says so. */
  readonly cpus?: number;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly isDetached: boolean;
  readonly pulls: boolean;
  readonly ignoresErrors: boolean;
  readonly retries: number;
  readonly retryDelay: number;
  readonly retryOnErrors: readonly string[];
  /** Further times that the step runs. */
  readonly repeat: number;
};

/** Files by name, each text in base64 as it was written. */
export type SecretVolume = { readonly name: string; readonly files: ReadonlyMap<string, Uint8Array> };

export type Task = {
  readonly version: string;
  readonly steps: readonly TaskStep[];
  readonly networks: readonly string[];
  readonly volumes: readonly SecretVolume[];
};

const workspace = '/workspace';

/** Reads a task's final YAML, fills in defaults and checks it. Throws TaskError. Source: ACR tasks, 2.3 to 2.6. */
export function parseTaskFile(yaml: string): Task {
  const parsed = taskSchema.safeParse(parseYaml(yaml, 'the task'));
  if (!parsed.success) throw new TaskError(`the task is not valid: ${issueText(parsed.error)}`);
  const input = parsed.data;
  // Their values are in the text by now.
  vaultSecretsOf(input.secrets ?? []);
  const volumes = (input.volumes ?? []).map(secretVolumeOf);
  requireUnique(
    volumes.map(({ name }) => name),
    'volume',
  );
  const networks = networksOf(input);
  const env = inheritedEnv(input.env ?? []);
  const steps = (input.steps ?? []).map((step, index) => stepOf(step, index, input, { networks, env }));
  for (const step of steps) requireVolumes(step, volumes);
  requireNetworks(steps, networks.length === 0 ? [defaultNetwork] : networks);
  return {
    version: versionOf(input.version ?? undefined),
    steps,
    networks: networks.length === 0 ? [defaultNetwork] : networks,
    volumes,
  };
}

/**
 * The secrets that a task names, before the templates have their values; by its `secrets:` block alone where other templates
 * cannot do without. Throws TaskError. Source: ACR tasks, 2.2.
 */
export function vaultSecretsOfTask(input: TaskTextInput): readonly VaultSecret[] {
  try {
    return vaultSecretsIn(prepareTaskText(input).yaml);
  } catch (cause) {
    if (!(cause instanceof TaskError)) throw cause;
    const secrets = vaultSecretsIn(prepareSecretsText(input));
    if (secrets.length === 0) throw cause;
    return secrets;
  }
}

/** Of the final YAML of a task. Throws TaskError. */
export function vaultSecretsIn(yaml: string): readonly VaultSecret[] {
  const parsed = taskSecretsSchema.safeParse(parseYaml(yaml, 'the task'));
  if (parsed.success) return vaultSecretsOf(parsed.data.secrets ?? []);
  throw new TaskError(
    `the secrets of the task are not a list of at most ${maxVaultSecrets}, each with id and keyvault`,
  );
}

function issueText(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue === undefined ? 'it has another form' : `${issue.path.join('.') || 'the whole'}: ${issue.message}`;
}

function versionOf(version: string | undefined): string {
  const found = versions.find((known) => known === (version ?? defaultVersion).toLowerCase());
  if (found !== undefined) return found;
  throw new TaskError(`invalid version specified: "${version}", the current version is "${defaultVersion}"`);
}

/** Entries `NAME=value` by their names. */
type Env = ReadonlyMap<string, string>;

type Inherited = { readonly networks: readonly string[]; readonly env: Env };

function stepOf(step: StepInput, index: number, task: TaskInput, { networks, env }: Inherited): TaskStep {
  const id = step.id ?? `acb_step_${index}`;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(id) || id === 'acb_root') {
    throw new TaskError(`the id of step ${index + 1} is not letters, digits, dots, dashes and underscores`);
  }
  const isolation = step.isolation?.toLowerCase() ?? '';
  if (!['', 'default'].includes(isolation)) {
    throw new TaskError(`step ${id} asks for the isolation ${isolation}, which is of Windows: leave it out`);
  }
  const cpus = cpusOf(id, step.cpus ?? undefined);
  return {
    id,
    when: whenOf(id, step.when ?? []),
    work: workOf(id, step),
    timeout: seconds(step.timeout) ?? seconds(task.stepTimeout) ?? defaultStepTimeout,
    startDelay: seconds(step.startDelay) ?? 0,
    // A step's own beat them. Texts are shared by all steps, as each has them all.
    env: [...new Map([...env, ...envOf(step.env ?? [], `step ${id}`)]).values()],
    workingDirectory: step.disableWorkingDirectoryOverride
      ? undefined
      : directoryOf(step.workingDirectory ?? task.workingDirectory ?? workspace),
    entryPoint: step.entryPoint ?? undefined,
    user: step.user ?? undefined,
    isPrivileged: step.privileged ?? false,
    network: step.network ?? networkOf(task, networks),
    ports: portsOf(id, [...(step.ports ?? []), ...(step.expose ?? [])]),
    ...(cpus === undefined ? {} : { cpus }),
    volumeMounts: step.volumeMounts ?? [],
    isDetached: step.detach ?? false,
    pulls: step.pull ?? false,
    ignoresErrors: step.ignoreErrors ?? false,
    retries: Math.max(0, step.retries ?? 0),
    retryDelay: seconds(step.retryDelay) ?? defaultRetryDelay,
    retryOnErrors: step.retryOnErrors ?? [],
    repeat: Math.max(0, step.repeat ?? 0),
  };
}

function seconds(value: number | null | undefined): number | undefined {
  return value !== null && value !== undefined && value > 0 ? Math.min(value, maxSeconds) : undefined;
}

function workOf(id: string, { build, push, cmd, cache }: StepInput): StepWork {
  const kinds = [build, push, cmd].filter((kind) => kind !== null && kind !== undefined);
  if (kinds.length !== 1) throw new TaskError(`step ${id} must have exactly one of build, push and cmd`);
  if (build !== null && build !== undefined) {
    return {
      kind: 'build',
      options: parseDockerBuild(splitWords(build)),
      isCached: cache === 'enabled',
      hasPushStep: false,
    };
  }
  if (push !== null && push !== undefined) return { kind: 'push', images: [...new Set(push)] };
  return { kind: 'cmd', text: cmd ?? '' };
}

function whenOf(id: string, when: readonly string[]): readonly string[] | undefined {
  if (when.length === 0) return undefined;
  const names = [...new Set(when)];
  if (names.includes('-') && names.length > 1) throw new TaskError(`step ${id}: "-" in when excludes other ids`);
  return names.filter((name) => name !== '-');
}

/** The task's entries are split at commas. */
function inheritedEnv(written: readonly string[]): Env {
  const entries = written.flatMap((entry) => entry.split(','));
  if (entries.length > maxEntries) throw new TaskError(`env of the task has more than ${maxEntries} entries`);
  return envOf(entries, 'the task');
}

function envOf(entries: readonly string[], whose: string): Env {
  const byName = new Map<string, string>();
  for (const [index, entry] of entries.entries()) {
    const [written = ''] = entry.split('=', 1);
    const name = written.trim();
    if (!entry.includes('=') || name === '') {
      // Nothing is quoted: a piece of a secret would not be hidden.
      throw new TaskError(`${whose}: entry ${index + 1} of env is not NAME=value`);
    }
    byName.set(name, `${name}=${entry.slice(written.length + 1)}`);
  }
  return byName;
}

function directoryOf(directory: string): string {
  const path = directory.startsWith('/') ? directory : `${workspace}/${directory}`;
  if (path.split('/').includes('..')) throw new TaskError(`the working directory ${directory} leaves its folder`);
  return path;
}

/** `[address:][port:]port[/protocol]`; ranges too. Source: docker run, "Publish or expose port". */
function portsOf(id: string, ports: readonly string[]): readonly string[] {
  const isPort = (port: string) => /^(?:[\w.[\]:]*:)?\d{1,5}(?:-\d{1,5})?(?:\/(?:tcp|udp|sctp))?$/.test(port);
  const wrong = ports.findIndex((port) => !isPort(port));
  if (wrong >= 0) throw new TaskError(`step ${id}: entry ${wrong + 1} of ports and expose is no port such as 8080:80`);
  return ports;
}

function cpusOf(id: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const cpus = processorsIn(text);
  if (cpus === undefined) throw new TaskError(`step ${id}: cpus is a number of processors such as 1.5`);
  return cpus;
}

/** Those that a task makes. Throws TaskError for one that runs cannot have. */
function networksOf({ networks }: TaskInput): readonly string[] {
  const made = (networks ?? []).filter(({ skipCreation }) => !skipCreation);
  for (const { name, driver, ipv6 } of made) {
    const isBridge = ['', 'bridge'].includes(driver?.toLowerCase() ?? '');
    if (!isBridge) throw new TaskError(`the network ${name} has the driver ${driver}: networks of runs are bridges`);
    if (ipv6) throw new TaskError(`the network ${name} asks for IPv6: networks of runs have IPv4`);
  }
  const names = made.map(({ name }) => name);
  requireUnique(names, 'network');
  return names;
}

function requireNetworks(steps: readonly TaskStep[], networks: readonly string[]): void {
  for (const { id, network, work } of steps) {
    if (work.kind !== 'cmd' || network === undefined || networks.includes(network)) continue;
    throw new TaskError(`step ${id} is on the network ${network}, which the task does not make`);
  }
}

function networkOf(task: TaskInput, networks: readonly string[]): string | undefined {
  if (networks.length === 0) return defaultNetwork;
  return (task.networks ?? []).findLast(({ isDefault }) => isDefault)?.name;
}

function secretVolumeOf({ name, secret }: NonNullable<TaskInput['volumes']>[number]): SecretVolume {
  if (!/^[A-Za-z0-9_-]+$/.test(name)) throw new TaskError(`the volume name ${JSON.stringify(name)} is not valid`);
  const files = Object.entries(secret ?? {}).map(([file, content]): [string, Uint8Array] => {
    if (!/^[A-Za-z0-9_.-]+$/.test(file) || file === '.' || file === '..') {
      throw new TaskError(`volume ${name}: the file name ${JSON.stringify(file)} is not valid`);
    }
    return [file, bytesOf(name, file, content)];
  });
  if (files.length === 0) throw new TaskError(`volume ${name} has no secret, and no other source is known`);
  return { name, files: new Map(files) };
}

function bytesOf(volume: string, file: string, content: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(content.replaceAll(/\s/g, ''));
  } catch (cause) {
    throw new TaskError(`volume ${volume}: the secret ${file} is not base64`, { cause });
  }
}

function requireVolumes(step: TaskStep, volumes: readonly SecretVolume[]): void {
  const known = new Set(volumes.map(({ name }) => name));
  for (const { name, mountPath } of step.volumeMounts) {
    if (!known.has(name))
      throw new TaskError(`step ${step.id} mounts the volume ${name}, which the task does not have`);
    if (!mountPath.startsWith('/') || mountPath.includes(':') || mountPath.split('/').includes('..')) {
      throw new TaskError(`step ${step.id}: ${mountPath} is not an absolute path for a volume`);
    }
  }
  requireUnique(
    step.volumeMounts.map(({ mountPath }) => mountPath),
    `mount path of step ${step.id}`,
  );
  if (step.work.kind === 'push' && step.volumeMounts.length > 0) {
    throw new TaskError(`step ${step.id} pushes, and mounts volumes: only cmd and build can`);
  }
}

function requireUnique(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new TaskError(`the ${what} ${twice} is there twice`);
}
