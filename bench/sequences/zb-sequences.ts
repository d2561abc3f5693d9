import { randomUUID } from 'node:crypto';
import { type Image, type ImageSource, MiB } from '../images.ts';
import { SteadyRandom } from '../random.ts';
import { Recorder } from '../recorder.ts';
import { RegistryClient } from '../registry-client.ts';
import { type Scenario, together } from '../sequence.ts';
import type { Target } from '../servers/target.ts';

export type ZbOptions = {
  readonly clients: number;
  /** Requests of one run by what a request weighs; rounded down to a multiple of `clients` as `zb -n` is. */
  readonly requests: (averageBytes: number) => number;
  readonly skipsCleanUp: boolean;
};

/** Sizes of layers in bytes with their share of the requests. */
type Mix = readonly { readonly sizeBytes: number; readonly share: number }[];
type Push = 'monolith' | 'chunk';
type Work = (client: ZbClient) => Promise<void>;
type Row = { readonly name: string; readonly mix: Mix; readonly work: Work; readonly hasUniqueVariant?: boolean };

const sizes = { '1MB': MiB, '10MB': 10 * MiB, '100MB': 100 * MiB } as const;

function mixOf(small: number, medium: number, large: number): Mix {
  return [
    { sizeBytes: sizes['1MB'], share: small },
    { sizeBytes: sizes['10MB'], share: medium },
    { sizeBytes: sizes['100MB'], share: large },
  ];
}

const each = Object.entries(sizes).map(([label, sizeBytes]) => ({ label, mix: [{ sizeBytes, share: 1 }] }));

/**
 * The sequences of zot's `zb` under its names, but for "On-demand Sync 100MB" and "1GB": they need an upstream registry
 * behind the measured one.
 */
const rows: readonly Row[] = [
  { name: 'Get Catalog', mix: mixOf(0.7, 0.2, 0.1), work: (client) => client.catalogs() },
  ...each.map(({ label, mix }) => pushRow(`Push Monolith ${label}`, mix, 'monolith')),
  ...each.map(({ label, mix }) => pushRow(`Push Chunk Streamed ${label}`, mix, 'chunk')),
  ...each.map(({ label, mix }) => ({ name: `Pull ${label}`, mix, work: (client: ZbClient) => client.pulls() })),
  { name: 'Pull Mixed 20% 1MB, 70% 10MB, 10% 100MB', mix: mixOf(0.2, 0.7, 0.1), work: (client) => client.pulls() },
  pushRow('Push Monolith Mixed 20% 1MB, 70% 10MB, 10% 100MB', mixOf(0.2, 0.7, 0.1), 'monolith'),
  pushRow('Push Chunk Mixed 33% 1MB, 33% 10MB, 33% 100MB', mixOf(0.33, 0.33, 0.34), 'chunk'),
  ...each.map(({ label, mix }) => ({
    name: `Pull 75% and Push 25% Mixed ${label}`,
    mix,
    work: (client: ZbClient) => client.pullsAndPushes(),
  })),
];

function pushRow(name: string, mix: Mix, push: Push): Row {
  return { name, mix, work: (client) => client.pushes(push), hasUniqueVariant: true };
}

/** The sequences of `zb`, then its pushes again with blobs that no registry can deduplicate. */
export function zbScenarios(options: ZbOptions): Scenario[] {
  const unique = rows.filter((row) => row.hasUniqueVariant === true);
  return [
    ...rows.map((row) => scenarioOf(row, row.name, options, (images, size) => images.same(size))),
    ...unique.map((row) =>
      scenarioOf(row, `${row.name}, unique blobs`, options, (images, size) => images.unique(size)),
    ),
  ];
}

type ImageOf = (images: ImageSource, sizeBytes: number) => Image;

function scenarioOf(row: Row, name: string, options: ZbOptions, imageOf: ImageOf): Scenario {
  const averageBytes = row.mix.reduce((sum, part) => sum + part.sizeBytes * part.share, 0);
  const perClient = Math.max(1, Math.floor(options.requests(averageBytes) / options.clients));
  return {
    sequences: [{ name, clients: options.clients, warmsUp: true }],
    prepare: async (target, images) => {
      const run = async (recorder: Recorder, share: number) =>
        await together(options.clients, async (index) => {
          const client = new ZbClient({
            target,
            recorder,
            mix: row.mix,
            random: new SteadyRandom(index + 1),
            requests: Math.max(1, Math.floor(perClient * share)),
            imageOf: (sizeBytes) => imageOf(images, sizeBytes),
            skipsCleanUp: options.skipsCleanUp,
          });
          await client.run(row.work);
        });
      // Makes the shared layers now: a run should not pay for filling a base of 100 MB with random bytes.
      for (const { sizeBytes } of row.mix) imageOf(images, sizeBytes);
      return new Map([[name, run]]);
    },
  };
}

type ZbParts = {
  readonly target: Target;
  readonly recorder: Recorder;
  readonly mix: Mix;
  readonly random: SteadyRandom;
  readonly requests: number;
  readonly imageOf: (sizeBytes: number) => Image;
  readonly skipsCleanUp: boolean;
};

/** One of `zb`'s concurrent clients: prepares, makes its share of the requests, removes what it made. */
class ZbClient {
  readonly #parts: ZbParts;
  readonly #client: RegistryClient;
  /** Preparing and cleaning up count in the wall time, not in the latencies. */
  readonly #aside = new Recorder();
  readonly #asideClient: RegistryClient;
  readonly #repositories: string[] = [];

  constructor(parts: ZbParts) {
    this.#parts = parts;
    this.#client = new RegistryClient(parts.target, parts.recorder);
    this.#asideClient = new RegistryClient(parts.target, this.#aside);
  }

  async run(work: Work): Promise<void> {
    try {
      await work(this);
      if (!this.#parts.skipsCleanUp) await this.#cleanUp();
      this.#parts.recorder.payload(this.#aside.payloadBytes);
    } finally {
      this.#client.close();
      this.#asideClient.close();
    }
  }

  async catalogs(): Promise<void> {
    for (let count = 0; count < this.#parts.requests; count++) await this.#prepareImage(this.#anySize());
    await this.#repeat(async () => await this.#client.catalog());
  }

  async pushes(push: Push): Promise<void> {
    await this.#repeat(async (count) => await this.#push(push, count));
  }

  async pulls(): Promise<void> {
    const prepared = new Map<number, string>();
    for (const { sizeBytes } of this.#parts.mix) prepared.set(sizeBytes, await this.#prepareImage(sizeBytes));
    // As in `zb`: a mixed pull leaves its images behind.
    if (this.#parts.mix.length > 1) this.#repositories.length = 0;
    await this.#repeat(async () => await this.#pull(prepared));
  }

  async pullsAndPushes(): Promise<void> {
    const sizeBytes = this.#anySize();
    const prepared = new Map([[sizeBytes, await this.#prepareImage(sizeBytes)]]);
    await this.#repeat(async (count) =>
      this.#parts.random.next() < 0.75 ? await this.#pull(prepared) : await this.#push('monolith', count),
    );
  }

  async #repeat(work: (count: number) => Promise<void>): Promise<void> {
    for (let count = 0; count < this.#parts.requests; count++) {
      await this.#parts.recorder.sequence(async () => await work(count));
    }
  }

  async #push(push: Push, count: number): Promise<void> {
    const image = this.#parts.imageOf(this.#anySize());
    const repository = this.#newRepository();
    if (push === 'monolith') await this.#client.pushMonolith(repository, `tag${count}`, image);
    else await this.#client.pushChunked(repository, `tag${count}`, image);
  }

  async #pull(prepared: ReadonlyMap<number, string>): Promise<void> {
    const sizeBytes = this.#anySize();
    await this.#client.pull(prepared.get(sizeBytes) ?? '', `tag${sizeBytes}`);
  }

  async #prepareImage(sizeBytes: number): Promise<string> {
    const repository = this.#newRepository();
    await this.#asideClient.pushMonolith(repository, `tag${sizeBytes}`, this.#parts.imageOf(sizeBytes));
    return repository;
  }

  async #cleanUp(): Promise<void> {
    for (const repository of this.#repositories) await this.#asideClient.removeRepository(repository);
  }

  #newRepository(): string {
    const repository = randomUUID();
    this.#repositories.push(repository);
    return repository;
  }

  #anySize(): number {
    const { mix, random } = this.#parts;
    let toss = random.next();
    for (const { sizeBytes, share } of mix) {
      if (toss < share) return sizeBytes;
      toss -= share;
    }
    return mix[mix.length - 1]?.sizeBytes ?? 0;
  }
}
