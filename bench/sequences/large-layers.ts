import { GiB, repeatedLayer } from '../images.ts';
import type { Recorder } from '../recorder.ts';
import { RegistryClient } from '../registry-client.ts';
import type { Scenario } from '../sequence.ts';
import type { Target } from '../servers/target.ts';

const repository = 'bench/large';

/** One layer of `gib` GiB streamed in one PATCH and read back, by one client: memory and CPU time per GB. */
export function largeLayer(gib: number): Scenario {
  const push = `Push ${gib}GB layer`;
  const pull = `Pull ${gib}GB layer`;
  return {
    rounds: 1,
    sequences: [push, pull].map((name) => ({ name, clients: 1, comparesBy: 'p50' })),
    prepare: async (target) => {
      const layer = repeatedLayer(gib * GiB);
      return new Map([
        [push, (recorder) => once(target, recorder, (client) => client.uploadStreamed(repository, layer, 'layer'))],
        [
          pull,
          (recorder) =>
            once(target, recorder, (client) =>
              client.getBlob(repository, { digest: layer.digest, size: layer.sizeBytes }, 'layer'),
            ),
        ],
      ]);
    },
  };
}

async function once(
  target: Target,
  recorder: Recorder,
  work: (client: RegistryClient) => Promise<void>,
): Promise<void> {
  const client = new RegistryClient(target, recorder);
  await recorder.sequence(async () => await work(client));
  client.close();
}
