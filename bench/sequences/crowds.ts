import { type ImageSource, MiB } from '../images.ts';
import { Recorder } from '../recorder.ts';
import { RegistryClient } from '../registry-client.ts';
import { type Scenario, together } from '../sequence.ts';

const layerBytes = 20 * MiB;
const repository = 'bench/crowd';

/** Many clients at once with 20 MiB each: 50 pushes of unique images (L-06), 200 pulls of one image (L-07). */
export function crowds(): Scenario {
  const push = '50 pushes of 20MB together';
  const pull = '200 pulls of 20MB together';
  return {
    sequences: [
      { name: push, clients: 50 },
      { name: pull, clients: 200 },
    ],
    prepare: async (target, images) => {
      const client = new RegistryClient(target, new Recorder());
      await client.pushMonolith(repository, 'v1', images.same(layerBytes));
      client.close();
      const crowd =
        (clients: number, work: (registry: RegistryClient, index: number) => Promise<void>) =>
        async (recorder: Recorder) =>
          await together(clients, async (index) => {
            const registry = new RegistryClient(target, recorder);
            await recorder.sequence(async () => await work(registry, index));
            registry.close();
          });
      const pushOne = async (registry: RegistryClient, index: number) =>
        await registry.pushMonolith(repository, `p${index}`, uniqueImage(images));
      return new Map([
        [push, crowd(50, pushOne)],
        [pull, crowd(200, async (registry) => await registry.pull(repository, 'v1'))],
      ]);
    },
  };
}

function uniqueImage(images: ImageSource) {
  return images.unique(layerBytes);
}
