import { parseImageName, withRegistry } from '../../wire/tasks/image-name.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import type { MadeImages, RunRoom } from '../run-room.ts';
import { PackedImage } from './pack-command.ts';

const attempts = 3;
const firstPauseMs = 1_000;

/** Pushes images in order, each with 3 attempts; the first that has used them up fails the step. Source: ACR tasks, 1.5. */
export async function pushStep(room: RunRoom, images: readonly string[], signal: AbortSignal): Promise<void> {
  const names = images.map((image) => withRegistry(image, room.order.variables.Registry, room.registries));
  for (const name of new Set(names)) await pushImage(room, name, signal);
}

async function pushImage({ log, executor, clock, made }: RunRoom, image: string, signal: AbortSignal): Promise<void> {
  let reason = '';
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    log.say(`Pushing image: ${image}, attempt ${attempt}`);
    try {
      if (isPacked(made, image)) return log.say(`Successfully pushed image: ${image}`);
      const digest = await executor.push(image, { output: log.output(), signal });
      const { registry = '', repository, tag = '' } = parseImageName(image);
      made.pushed.set(image, { registry, repository, tag, digest });
      log.say(`Successfully pushed image: ${image}`);
      return;
    } catch (cause) {
      signal.throwIfAborted();
      reason = reasonOf(cause);
      if (attempt < attempts) await clock.sleep(firstPauseMs * 2 ** (attempt - 1), signal);
    }
  }
  throw new RunFailure(`failed to push image ${image}: ${reason}`);
}

/** The lifecycle of its builder has pushed it. */
function isPacked({ pushed, built }: MadeImages, image: string): boolean {
  const found = pushed.get(image);
  return found instanceof PackedImage && found.isLast(image, built);
}
