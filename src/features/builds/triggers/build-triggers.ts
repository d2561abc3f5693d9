import { z } from 'zod';
import type { JournalEvent } from '../../../platform/journal/journal.ts';
import { runConsumer } from '../../../platform/journal/run-consumer.ts';
import { type BaseImages, type BaseImagesParts, finishedRunSchema } from './base-images.ts';
import type { Rebuilds } from './rebuilds.ts';

export type BuildTriggersParts = Pick<BaseImagesParts, 'database' | 'journal' | 'clock' | 'log'>;

const consumerName = 'build-triggers';
const tagSetSchema = z.object({ repository: z.string(), tag: z.string() });

/** Starts tasks by what happens in the registries of this installation. */
export class BuildTriggers {
  readonly #parts: BuildTriggersParts;
  readonly #baseImages: Pick<BaseImages, 'learn' | 'tagsSet'>;
  readonly #rebuilds: Pick<Rebuilds, 'finished'>;

  constructor(
    parts: BuildTriggersParts,
    baseImages: Pick<BaseImages, 'learn' | 'tagsSet'>,
    rebuilds: Pick<Rebuilds, 'finished'>,
  ) {
    this.#parts = parts;
    this.#rebuilds = rebuilds;
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
    // First: what waits for its turn in a rebuild is not started by the image that its turn waits for.
    const tags = events.filter(({ type }) => type === 'tag.set').map(({ data }) => tagSetSchema.parse(data));
    await this.#baseImages.tagsSet(registryUid, tags);
    for (const { type, data } of events) {
      if (type !== 'run.finished') continue;
      const run = finishedRunSchema.parse(data);
      await this.#baseImages.learn(registryUid, run);
      await this.#rebuilds.finished(run);
    }
  }
}
