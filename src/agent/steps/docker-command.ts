import { parseDockerBuild } from '../../wire/tasks/docker-build-options.ts';
import { withRegistry, withTag } from '../../wire/tasks/image-name.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import type { ExecutorOptions } from '../executors/executor.ts';
import { RunFailure } from '../run-failure.ts';
import type { RunRoom } from '../run-room.ts';
import { buildStep } from './build-step.ts';
import { containerOf, runContainer } from './cmd-step.ts';
import { ownProcessors } from './doable.ts';
import { dockerNetwork, networksOf } from './docker-network.ts';
import { parseDockerRun } from './docker-run.ts';
import { pushStep } from './push-step.ts';

type Command = (room: RunRoom, step: TaskStep, words: readonly string[], signal: AbortSignal) => Promise<void>;

/**
 * `docker …` of a step, without an engine: each command becomes what the executor does, and reaches only what this run made.
 * Throws TaskError for a command that is not known. Source: ACR tasks, 7.5.
 */
export async function dockerCommand(
  room: RunRoom,
  step: TaskStep,
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const [verb = '', ...rest] = words;
  const command = commands.get(verb);
  if (command !== undefined) return await command(room, step, rest, signal);
  throw new TaskError(`docker ${verb} is not done in steps; these are: ${[...commands.keys()].join(', ')}`);
}

const build: Command = async (room, step, words, signal) => {
  const options = parseDockerBuild(words);
  const mounts = new Map(step.volumeMounts.map(({ name, mountPath }) => [mountPath, room.volumes.get(name) ?? '']));
  const { workingDirectory, id: stepId } = step;
  const cpus = ownProcessors(step, room.order);
  await buildStep(room, { stepId, options, isCached: false, workingDirectory, mounts, cpus, signal });
  if (options.pushes) await pushStep(room, options.tags, signal);
};

const nameOf = (room: RunRoom, written: string) =>
  withRegistry(written, room.order.variables.Registry, room.registries);
const optionsOf = ({ log }: RunRoom, signal: AbortSignal): ExecutorOptions => ({ output: log.output(), signal });

/** Images of a step: those of the run by their full name, others as they are written. */
function operands(verb: string, words: readonly string[], count: number | 'some'): readonly string[] {
  const option = words.find(
    (word) => word.startsWith('-') && !['-a', '--all', '-f', '--force', '-q', '--quiet'].includes(word),
  );
  if (option !== undefined) throw new TaskError(`docker ${verb} has the option ${option}, which is not known here`);
  const found = words.filter((word) => !word.startsWith('-'));
  const isRight = count === 'some' ? found.length > 0 : found.length === count;
  if (!isRight) throw new TaskError(`docker ${verb} needs ${count} names, and has ${found.length}`);
  return found;
}

const tag: Command = async (room, _, words, signal) => {
  const [from = '', to = ''] = operands('tag', words, 2);
  await room.executor.tag(await existing(room, from, signal), nameOf(room, to), optionsOf(room, signal));
};

/** An image that this run has: built names carry the registry, pulled ones are as they were written. */
async function existing(room: RunRoom, written: string, signal: AbortSignal): Promise<string> {
  const full = nameOf(room, written);
  const isBuilt = room.made.built.some(({ tags }) => tags.includes(full));
  if (isBuilt) return full;
  await room.executor.pull(withTag(written), optionsOf(room, signal)).catch((cause: unknown) => {
    throw new RunFailure(`the run has no image ${written}`, { cause });
  });
  return withTag(written);
}

const pull: Command = async (room, _, words, signal) => {
  for (const image of operands('pull', words, 'some'))
    await room.executor.pull(withTag(image), optionsOf(room, signal));
};

const push: Command = (room, _, words, signal) => pushStep(room, operands('push', words, 'some'), signal);

/** `--amend` and `--insecure` change nothing here. */
const manifest: Command = async (room, _, words, signal) => {
  const [verb = '', ...rest] = words;
  const names = rest.filter((word) => !['--amend', '-a', '--insecure', '--purge', '-p'].includes(word));
  if (verb === 'create') {
    const [index = '', ...images] = operands('manifest create', names, 'some');
    const full = images.map((image) => nameOf(room, image));
    return await room.executor.createIndex(nameOf(room, index), full, optionsOf(room, signal));
  }
  if (verb === 'push') return await pushStep(room, operands('manifest push', names, 1), signal);
  // Each image says its own platform.
  if (verb !== 'annotate')
    throw new TaskError(`docker manifest ${verb} is not done in steps; create, annotate and push are`);
};

const login: Command = async (room, _, words, signal) => {
  const values = new Map<string, string>();
  const servers: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const [written = '', ...own] = (words[at] ?? '').split('=');
    if (!written.startsWith('-')) servers.push(words[at] ?? '');
    else {
      if (!['-u', '--username', '-p', '--password'].includes(written)) {
        throw new TaskError(`docker login has the option ${written}, which is not known here: use -u and -p`);
      }
      if (own.length === 0) at += 1;
      values.set(written.replace(/^--?(.).*$/, '$1'), own.length > 0 ? own.join('=') : (words[at] ?? ''));
    }
  }
  const [server = 'docker.io'] = servers;
  const password = values.get('p') ?? '';
  room.log.hide(password);
  await room.executor.signIn(server, values.get('u') ?? '', password, optionsOf(room, signal));
  room.log.plain('Login Succeeded\n');
};

const stop: Command = async (room, _, words) => {
  for (const name of operands('stop', words, 'some')) {
    const container = room.made.containers.get(name);
    if (container === undefined) throw new RunFailure(`the run has no container ${name}`);
    await container.stop();
    room.log.plain(`${name}\n`);
  }
};

/** What a detached container prints is in the log of the run as it comes. */
const logs: Command = async (room, _, words) => {
  const [name = ''] = operands('logs', words, 1);
  if (!room.made.containers.has(name)) throw new RunFailure(`the run has no container ${name}`);
  room.log.plain(`What ${name} prints is in this log, where it was printed.\n`);
};

const run: Command = async (room, step, words, signal) => {
  const options = parseDockerRun(words);
  const asked: TaskStep = {
    ...step,
    id: options.name ?? step.id,
    env: [...step.env, ...options.env],
    entryPoint: options.entryPoint ?? step.entryPoint,
    workingDirectory: options.workingDirectory,
    user: options.user ?? step.user,
    isDetached: options.isDetached || step.isDetached,
    network: networkOf(room, options.network) ?? step.network,
    cpus: Math.min(options.cpus ?? Number.POSITIVE_INFINITY, step.cpus ?? Number.POSITIVE_INFINITY),
  };
  const container = containerOf(room, asked, options.image, options.arguments);
  const full = nameOf(room, options.image);
  const isBuilt = room.made.built.some(({ tags }) => tags.includes(full));
  const { networkAliases: aliases } = options;
  await runContainer(room, asked, { ...container, aliases, ...(isBuilt ? { image: full } : {}) }, signal);
};

/** A network of the machine, or of another container alone, is not one that a run has. */
function networkOf(room: RunRoom, asked: string | undefined): string | undefined {
  const networks = networksOf(room);
  if (asked === undefined || networks.includes(asked)) return asked;
  throw new TaskError(
    `docker run has --network ${asked}, and the networks of this run are ${networks.join(', ')}: name one of them, or none`,
  );
}

const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['build', build],
  ['buildx', (room, step, [verb = '', ...words], signal) => buildx(room, step, verb, words, signal)],
  ['tag', tag],
  ['pull', pull],
  ['push', push],
  ['manifest', manifest],
  ['login', login],
  ['run', run],
  ['stop', stop],
  ['kill', stop],
  ['rm', stop],
  ['logs', logs],
  ['network', (room, _, words) => dockerNetwork(room, words)],
]);

/** Its builders are made as they are needed. */
async function buildx(
  room: RunRoom,
  step: TaskStep,
  verb: string,
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (verb === 'build') return await build(room, step, words, signal);
  if (!['create', 'use', 'rm', 'inspect', 'ls'].includes(verb)) {
    throw new TaskError(`docker buildx ${verb} is not done in steps; build is`);
  }
}
