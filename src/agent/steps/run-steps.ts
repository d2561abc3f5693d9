import { type StepGraph, stepGraphOf } from '../../wire/tasks/step-graph.ts';
import type { Task, TaskStep } from '../../wire/tasks/task-file.ts';
import { ProgramError } from '../program.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import type { RunRoom } from '../run-room.ts';
import { buildStep } from './build-step.ts';
import { cmdStep } from './cmd-step.ts';
import { ownProcessors } from './doable.ts';
import { pushStep } from './push-step.ts';

const maxErrors = 10;

/** How long each step took, in the order in which they ended. */
export type StepTimes = ReadonlyMap<string, number>;

/**
 * Runs the steps of a task in the order of their graph, those that may at the same time. The first that fails ends the run.
 * Throws RunFailure, or the signal's reason. Source: ACR tasks, 2.7 and 2.8.
 */
export async function runSteps(room: RunRoom, task: Task, signal: AbortSignal): Promise<StepTimes> {
  const graph = stepGraphOf(task.steps);
  const times = new Map<string, number>();
  const stopper = new AbortController();
  const both = AbortSignal.any([signal, stopper.signal]);
  const ends = new Map<string, Promise<void>>();
  for (const step of task.steps)
    ends.set(
      step.id,
      afterOthers(graph, ends, step, () => timed(room, step, both, times)),
    );
  const all = [...ends.values()];
  try {
    await Promise.all(all);
  } catch (cause) {
    // Steps that wait for it, and those beside it, end before the room is closed.
    stopper.abort(cause);
    await Promise.allSettled(all);
    signal.throwIfAborted();
    throw cause;
  }
  return times;
}

async function afterOthers(
  graph: StepGraph,
  ends: ReadonlyMap<string, Promise<void>>,
  step: TaskStep,
  work: () => Promise<void>,
): Promise<void> {
  await Promise.all((graph.get(step.id) ?? []).map((id) => ends.get(id)));
  await work();
}

async function timed(room: RunRoom, step: TaskStep, signal: AbortSignal, times: Map<string, number>): Promise<void> {
  signal.throwIfAborted();
  const { log, clock } = room;
  const began = clock.monotonicMs();
  log.say(
    `Executing step ID: ${step.id}. Timeout(sec): ${step.timeout}, Working directory: '${step.workingDirectory ?? ''}', Network: '${step.network ?? ''}'`,
  );
  if (step.startDelay > 0) {
    log.say(`Waiting ${step.startDelay} seconds before executing step ID: ${step.id}`);
    await clock.sleep(step.startDelay * 1000, signal);
  }
  try {
    await withinTimeout(step, signal, (limited) => repeated(room, step, limited));
  } catch (cause) {
    signal.throwIfAborted();
    if (!step.ignoresErrors) {
      log.say(`failed to run step ID: ${step.id}: ${stepReason(cause)}`);
      throw new RunFailure(stepReason(cause), { cause });
    }
    log.say(
      `Step ID: ${step.id} encountered an error: ${stepReason(cause)}, but is set to ignore errors. Continuing...`,
    );
  }
  times.set(step.id, (clock.monotonicMs() - began) / 1000);
}

function stepReason(cause: unknown): string {
  return cause instanceof ProgramError && cause.output === '' ? `exit status ${cause.exitCode}` : reasonOf(cause);
}

async function withinTimeout(
  step: TaskStep,
  signal: AbortSignal,
  work: (limited: AbortSignal) => Promise<void>,
): Promise<void> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new RunFailure('context deadline exceeded')), step.timeout * 1000);
  try {
    await work(AbortSignal.any([signal, limit.signal]));
  } finally {
    clearTimeout(timer);
  }
}

/** All repetitions are done, and the first errors are told together. */
async function repeated(room: RunRoom, step: TaskStep, signal: AbortSignal): Promise<void> {
  const errors: string[] = [];
  for (let number = 0; number <= step.repeat; number += 1) {
    // A step may fail before it waits for anything: limits of time and heartbeats get their turn.
    await room.clock.sleep(0, signal);
    try {
      await retried(room, step, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (step.repeat === 0) throw cause;
      if (errors.length < maxErrors) errors.push(stepReason(cause));
    }
  }
  if (errors.length > 0) throw new RunFailure(errors.join('; '));
}

async function retried(room: RunRoom, step: TaskStep, signal: AbortSignal): Promise<void> {
  const isProgram = step.work.kind === 'cmd';
  for (let left = step.work.kind === 'push' ? 0 : step.retries; ; left -= 1) {
    try {
      if (isProgram) room.log.say(`Launching container with name: ${step.id}`);
      await doStep(room, step, signal);
      if (isProgram) room.log.say(`Successfully executed container: ${step.id}`);
      return;
    } catch (cause) {
      signal.throwIfAborted();
      if (left <= 0 || !isRetried(step, cause)) {
        if (step.retries > 0) room.log.say(`Container failed during run: ${step.id}. No retries remaining.`);
        throw cause;
      }
      room.log.say(`Container failed during run: ${step.id}, waiting ${step.retryDelay} seconds before retrying...`);
      await room.clock.sleep(step.retryDelay * 1000, signal);
    }
  }
}

function isRetried({ retryOnErrors }: TaskStep, cause: unknown): boolean {
  return retryOnErrors.length === 0 || retryOnErrors.some((text) => reasonOf(cause).includes(text));
}

async function doStep(room: RunRoom, step: TaskStep, signal: AbortSignal): Promise<void> {
  const { work } = step;
  if (work.kind === 'push') return await pushStep(room, work.images, signal);
  if (work.kind === 'cmd') return await cmdStep(room, step, work.text, signal);
  const mounts = new Map(step.volumeMounts.map(({ name, mountPath }) => [mountPath, room.volumes.get(name) ?? '']));
  const { id: stepId, workingDirectory } = step;
  const { options, isCached, hasPushStep } = work;
  const cpus = ownProcessors(step, room.order);
  await buildStep(room, { stepId, options, isCached, workingDirectory, mounts, cpus, signal });
  if (options.pushes && !hasPushStep) await pushStep(room, options.tags, signal);
}
