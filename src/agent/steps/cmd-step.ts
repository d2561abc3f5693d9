import { withTag } from '../../wire/tasks/image-name.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import { splitWords } from '../../wire/tasks/words.ts';
import type { ContainerRun, RunningContainer } from '../executors/executor.ts';
import { ProgramError } from '../program.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import type { RunRoom } from '../run-room.ts';
import { ownProcessors } from './doable.ts';
import { dockerCommand } from './docker-command.ts';
import { packCommand, packImage } from './pack-command.ts';

/** Of servers that do not say what bare words stand for: repositories of the run's own registry. */
const imageAliases = new Map([
  ['az', 'acr/az'],
  ['bash', 'acr/bash'],
  ['curl', 'acr/curl'],
  ['cssc', 'acr/cssc'],
]);
/** The image of ACR's own command line, under the names that tasks write. */
const acrImage = /^mcr\.microsoft\.com\/acr\/acr-cli(?::|@|$)/;

/**
 * Runs the command of a step: `docker …` and `acr …` are done by ourselves, anything else is an image and its arguments.
 * A detached one is left running. Throws RunFailure, TaskError, ProgramError. Source: ACR tasks, 2.5 and 7.5.
 */
export async function cmdStep(room: RunRoom, step: TaskStep, text: string, signal: AbortSignal): Promise<void> {
  const [first = '', ...rest] = splitWords(text);
  if (first === '') throw new TaskError(`step ${step.id} has an empty cmd`);
  const alias = room.aliases.get(first);
  const [image = '', ...words] = alias === undefined ? [first, ...rest] : [...splitWords(alias), ...rest];
  if (image === 'docker') return await dockerCommand(room, step, words, signal);
  if (packImage.test(image)) return await packCommand(room, step, words, signal);
  if (image === 'acr' || acrImage.test(image)) return await builtIn(room, ['acr', ...words], signal);
  await runContainer(room, step, containerOf(room, step, image, words), signal);
}

/** The container of a step, with the run's files, a home folder that all steps share, and its secret volumes. */
export function containerOf(room: RunRoom, step: TaskStep, image: string, words: readonly string[]): ContainerRun {
  const alias = aliasImage(room, image);
  const mounts = new Map([
    ['/workspace', room.workspace],
    ['/acb/home', `${room.cell.folder}/home`],
    ...step.volumeMounts.map(({ name, mountPath }): [string, string] => [mountPath, room.volumes.get(name) ?? '']),
  ]);
  return {
    name: step.id,
    image: alias ?? withTag(image),
    arguments: words,
    entryPoint: step.entryPoint,
    env: ['HOME=/acb/home', ...step.env],
    workingDirectory: step.workingDirectory,
    user: step.user,
    isPrivileged: step.isPrivileged,
    network: step.network,
    aliases: [],
    mounts,
    pulls: step.pulls,
    cpus: ownProcessors(step, room.order),
  };
}

/** Waits for its end, unless it is detached: then it goes on until the run ends or a later step stops it. */
export async function runContainer(
  room: RunRoom,
  step: TaskStep,
  container: ContainerRun,
  signal: AbortSignal,
): Promise<void> {
  const running = await startContainer(
    room,
    container,
    step.isDetached ? new AbortController().signal : signal,
    signal,
  );
  room.made.containers.set(container.name, running);
  if (step.isDetached) return;
  const code = await running.exited;
  if (code !== 0) throw new ProgramError(container.name, code, '');
}

async function startContainer(
  { executor, log, order }: RunRoom,
  container: ContainerRun,
  lifetime: AbortSignal,
  starting: AbortSignal,
): Promise<RunningContainer> {
  try {
    return await executor.start(container, { output: log.output(), signal: lifetime, starting });
  } catch (cause) {
    starting.throwIfAborted();
    const help = isAliasImage(order, container.image)
      ? '; the alias stands for that image: put it there, or name another with --build-aliases (berth task aliases shows them)'
      : '';
    throw new RunFailure(`cannot run the image ${container.image}: ${reasonOf(cause)}${help}`, { cause });
  }
}

function aliasImage({ order }: Pick<RunRoom, 'order'>, word: string): string | undefined {
  if (order.imageAliases !== undefined) return order.imageAliases.find(({ name }) => name === word)?.image;
  const repository = imageAliases.get(word);
  return repository === undefined ? undefined : `${order.variables.Registry}/${repository}:latest`;
}

function isAliasImage(order: RunRoom['order'], image: string): boolean {
  const words = order.imageAliases?.map(({ name }) => name) ?? [...imageAliases.keys()];
  return words.some((word) => aliasImage({ order }, word) === image);
}

async function builtIn({ runBuiltIn, log }: RunRoom, words: readonly string[], signal: AbortSignal): Promise<void> {
  const output = log.output();
  let code = 1;
  for await (const line of runBuiltIn(words, signal)) {
    if ('exitCode' in line) code = line.exitCode;
    else await output.add(new TextEncoder().encode(`${line.line}\n`));
  }
  await output.end();
  if (code !== 0) throw new ProgramError('acr', code, '');
}
