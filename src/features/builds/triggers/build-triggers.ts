import { z } from 'zod';
import type { JournalEvent } from '../../../platform/journal/journal.ts';
import { runConsumer } from '../../../platform/journal/run-consumer.ts';
import { type BaseImages, type BaseImagesParts, finishedRunSchema } from './base-images.ts';

export type BuildTriggersParts = Pick<BaseImagesParts, 'database' | 'journal' | 'clock' | 'log'>;

const consumerName = 'build-triggers';
const tagSetSchema = z.object({ repository: z.string(), tag: z.string() });

/** Starts tasks by what happens in the registries of this installation. */
export class BuildTriggers {
  readonly #parts: BuildTriggersParts;
  readonly #baseImages: Pick<BaseImages, 'learn' | 'tagsSet'>;

  constructor(parts: BuildTriggersParts, baseImages: Pick<BaseImages, 'learn' | 'tagsSet'>) {
    this.#parts = parts;
    this.#baseImages = baseImages;
  }

  /** Follows the journals of all registries until the signal is aborted. */
  async follow(signal: AbortSignal): Promise<void> {
    await runConsumer({
      ...this.#parts,
      name: consumerName,
      follows: (stream) => stream.startsWith('registry/'),
      handle: (events) => this.handle(events),
      signal,
    });
  }

  /** Events of one stream. What they started once they do not start again. */
  async handle(events: readonly JournalEvent[]): Promise<void> {
    const [, registryUid = ''] = events[0]?.stream.split('/') ?? [];
    for (const { type, data } of events)
      if (type === 'run.finished') await this.#baseImages.learn(registryUid, finishedRunSchema.parse(data));
    const tags = events.filter(({ type }) => type === 'tag.set').map(({ data }) => tagSetSchema.parse(data));
    await this.#baseImages.tagsSet(registryUid, tags);
  }
}
