import { blobOf, configText, imageOf } from '../images.ts';
import { SteadyRandom } from '../random.ts';
import { Recorder } from '../recorder.ts';
import { RegistryClient, UnexpectedAnswer } from '../registry-client.ts';
import { type Scenario, type SequenceRun, together } from '../sequence.ts';
import type { Target } from '../servers/target.ts';

const repository = 'bench/many';
const fillingClients = 16;
const rewritesIndex = 'writes its whole index again for every tag';

/** A repository with many manifests, a tag on each: pages of its tag list, and how soon a server that holds it is ready. */
export function manyManifests(options: { readonly count: number; readonly pages: number }): Scenario {
  const thousands = options.count.toLocaleString('en-US');
  const page = `Tag list page of 100 out of ${thousands}`;
  const byName = `Metadata page of 100 out of ${thousands}, by name`;
  const byTime = `Metadata page of 100 out of ${thousands}, by time`;
  const ready = `Ready with ${thousands} manifests`;
  return {
    rounds: 1,
    without: { olareg: rewritesIndex, zot: rewritesIndex },
    sequences: [
      { name: page, clients: 1, warmsUp: true, comparesBy: 'p50' },
      { name: byName, clients: 1, warmsUp: true, comparesBy: 'p50' },
      { name: byTime, clients: 1, warmsUp: true, comparesBy: 'p50' },
      { name: ready, clients: 1, comparesBy: 'p50' },
    ],
    prepare: async (target) => {
      await fill(target, options.count);
      const listing = pageRun(target, options, async (client, last) => {
        const tags = await client.tagPage(repository, 100, last);
        return tags.length;
      });
      return new Map([
        [page, listing],
        ...((await hasMetadata(target)) ? metadataRuns(target, options, { byName, byTime }) : []),
        ...readyRun(target, ready),
      ]);
    },
  };
}

type Pages = { readonly count: number; readonly pages: number };

/** Pages of 100 after random tags. */
function pageRun(
  target: Target,
  options: Pages,
  page: (client: RegistryClient, last: string) => Promise<number>,
): SequenceRun {
  return async (recorder, share) => {
    const client = new RegistryClient(target, recorder);
    const random = new SteadyRandom(1);
    for (let done = 0; done < options.pages * share; done++) {
      // In either order, about that of the pushes, a hundred come after it.
      const last = tagOf(1_000 + random.below(options.count - 1_200));
      await recorder.sequence(async () => {
        const entries = await page(client, last);
        if (entries !== 100) throw new Error(`page of ${entries} tags, expected 100`);
      });
    }
    client.close();
  };
}

function metadataRuns(
  target: Target,
  options: Pages,
  names: { readonly byName: string; readonly byTime: string },
): [string, SequenceRun][] {
  const run = (order: '' | 'timedesc') =>
    pageRun(target, options, (client, last) => client.metadataPage(repository, 100, order, last));
  return [
    [names.byName, run('')],
    [names.byTime, run('timedesc')],
  ];
}

/** Only Azure Container Registry and Berth have such lists. */
async function hasMetadata(target: Target): Promise<boolean> {
  const client = new RegistryClient(target, new Recorder());
  try {
    return (await client.metadataPage(repository, 1, '', '')) === 1;
  } catch (error) {
    if (error instanceof UnexpectedAnswer) return false;
    throw error;
  } finally {
    client.close();
  }
}

function readyRun(target: Target, name: string): [string, SequenceRun][] {
  const restart = target.restart;
  if (restart === undefined) return [];
  return [[name, async (recorder) => recorder.timed(await restart())]];
}

async function fill(target: Target, count: number): Promise<void> {
  const config = blobOf(Buffer.from(configText('bench')));
  const first = new RegistryClient(target, new Recorder());
  await first.uploadMonolith(repository, config, 'config');
  first.close();
  await together(fillingClients, async (client) => {
    const registry = new RegistryClient(target, new Recorder());
    for (let index = client; index < count; index += fillingClients) {
      // A size that differs makes each manifest another one; the layer is the config again, so that all blobs exist.
      const { manifest } = imageOf(config, config);
      await registry.putManifest(repository, tagOf(index), withAnnotation(manifest, index));
    }
    registry.close();
  });
}

function withAnnotation(manifest: string, index: number): string {
  return manifest.replace(/\}\s*$/, `,"annotations":{"bench":"${index}"}}`);
}

function tagOf(index: number): string {
  return `t${String(index).padStart(7, '0')}`;
}
