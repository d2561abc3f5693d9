import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type ContentBench,
  type ContentProcess,
  contentBench,
  contentProcess,
  fullAuthority,
  quietLog,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { descriptorOf, sampleBlob, sampleImage, sampleIndex } from '../../../test/support/oci-samples.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { Deletions } from '../content/deletions.ts';
import { collectGarbage } from './garbage-collection.ts';
import { ownAuthority } from './own-authority.ts';
import { parsePurgeFilter } from './purge-filter.ts';
import { purge } from './purges.ts';
import { deleteUntagged } from './untagged-policy.ts';

const me = fullAuthority();
const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };
const [config, layer] = [sampleBlob('config'), sampleBlob('layer', 1_000)];

class Injected extends Error {}

/** The same database, whose answer to the n-th question is lost. */
function losing(database: Database, n: number): { readonly database: Database; readonly wasReached: () => boolean } {
  let count = 0;
  const plugin: Parameters<Database['read']['withPlugin']>[0] = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      count += 1;
      if (count === n) throw new Injected('the answer was lost');
      return result;
    },
  };
  return {
    database: {
      ...database,
      read: database.read.withPlugin(plugin),
      transaction: (work) => database.transaction((tx) => work(tx.withPlugin(plugin))),
    },
    wasReached: () => count >= n,
  };
}

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('registries').set({ retention_days: 1 }).execute();
    });
  });
  after(() => bench.folder.remove());

  const image = sampleImage([config, layer]);
  const index = sampleIndex([image]);
  const signature = sampleImage([config], { subject: descriptorOf(image, image.mediaType) });
  const at = () => bench.place('kept');
  const put = async (process: ContentProcess, manifest: typeof image, reference: string) =>
    await process.manifests.push(at(), me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(reference),
      tags: [],
    });
  const deletions = (process: ContentProcess) => new Deletions({ ...process, region: testRegion });

  const works: readonly [string, (process: ContentProcess) => Promise<unknown>][] = [
    ['a pull', (process) => process.manifests.find(at(), parseReference('v1'), me)],
    ['a push of what is there', (process) => put(process, image, 'again')],
    ['garbage collection', (process) => collectGarbage(process, job)],
    [
      'a purge',
      (process) =>
        Array.fromAsync(
          purge({ ...process, deletions: deletions(process) }, me, {
            registryUid: bench.registryUid,
            filters: [parsePurgeFilter('kept:^again$')],
            ageMs: 0,
            keep: 0,
            untagged: 'also',
            includesLocked: false,
            isDryRun: false,
            signal: job.signal,
          }),
        ),
    ],
    [
      'the policy for manifests without a tag',
      (process) => {
        const authority = ownAuthority('retention policy');
        return deleteUntagged({ ...process, log: quietLog, deletions: deletions(process), authority }, job);
      },
    ],
  ];

  for (const [name, work] of works) {
    test(`DL-05: ${name}, each of whose look-ups fails once, takes nothing for absent`, async () => {
      for (const blob of [config, layer]) await bench.push(at(), blob);
      await put(bench.here, image, 'v1');
      await put(bench.here, index, 'list');
      await put(bench.here, signature, signature.digest);
      await put(bench.here, sampleImage([config], { annotations: { name } }), 'moved');
      await put(bench.here, image, 'moved');
      clock.advance(3 * dayMs);
      for (let n = 1; ; n += 1) {
        const { database, wasReached } = losing(bench.database, n);
        const process = contentProcess({ database, folder: bench.folder.path, clock });
        const problem = await work(process).then(
          () => undefined,
          (error: unknown) => error,
        );
        assert(!(problem instanceof BerthError), `look-up ${n}: ${problem}`);
        for (const reference of ['v1', 'list', signature.digest])
          await bench.here.manifests.find(at(), parseReference(reference), me);
        for (const blob of [config, layer]) assert((await bench.pull(at(), blob.digest)).equals(blob.bytes));
        if (wasReached()) continue;
        assert(n > 1, 'no look-up was lost');
        break;
      }
      await deletions(bench.here).tag(at(), me, parseTag('moved'));
    });
  }
});
