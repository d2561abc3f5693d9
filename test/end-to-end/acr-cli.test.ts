import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { goTool, ModuleUnavailable } from '../support/go-tools.ts';
import { descriptorOf, sampleIndex } from '../support/oci-samples.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { goClient } from './client.ts';
import { useWorkbench } from './workbench.ts';

// Azure's own `acr`, as it is: its lists go by pages that end with null, its purge asks after tags that it has just deleted.

describe('acr', () => {
  const bench = useWorkbench();
  const acr = goClient(bench, 'acr');
  const run = async (...words: readonly string[]) => {
    const { named, username, password } = bench();
    return (await acr.run([...words, '-r', named.host, '-u', username, '-p', password])).trimEnd().split('\n');
  };
  const tagsOf = async (repository: string) => {
    const answer = await asAdmin(bench().server, 'GET', `/v2/${repository}/tags/list?n=1000`);
    return z.object({ tags: z.array(z.string()) }).parse(await answer.json()).tags;
  };
  const statusOf = async (repository: string, reference: string) =>
    (await asAdmin(bench().server, 'HEAD', `/v2/${repository}/manifests/${reference}`, { headers: { Accept: '*/*' } }))
      .status;
  const many = Array.from({ length: 101 }, (_, index) => `v${String(index).padStart(3, '0')}`);

  let unavailable: string | undefined;
  /** The program is not ours to keep here: where the module proxy does not have it, the reason is shown and nothing counted. */
  const withAcr = (name: string, work: () => Promise<void>) =>
    test(name, async (context) => {
      if (unavailable === undefined) await work();
      else context.skip(unavailable);
    });

  before(async () => {
    try {
      await goTool('acr');
    } catch (error) {
      if (!(error instanceof ModuleUnavailable)) throw error;
      unavailable = error.message;
    }
    await pushSample(bench().server, 'acr/many', platformImage('many'), ...many, 'kept');
  });

  withAcr('tags and manifests are listed to their end, and deleted by name', async () => {
    const { server, named } = bench();
    const samples = ['one', 'two'].map((seed) => platformImage(seed));
    const digests = samples.map(({ image }) => image.digest);
    for (const [index, sample] of samples.entries()) await pushSample(server, 'acr/lists', sample, `t${index}`);
    assert.equal((await run('tag', 'list', '--repository', 'acr/many')).length, 1 + many.length + 1);
    const manifests = await run('manifest', 'list', '--repository', 'acr/lists');
    assert.deepEqual(
      manifests.slice(1),
      digests.toSorted().map((digest) => `${named.host}/acr/lists@${digest}`),
    );
    await run('tag', 'delete', '--repository', 'acr/lists', 't0');
    await run('manifest', 'delete', '--repository', 'acr/lists', digests[1] ?? '');
    assert.deepEqual([await tagsOf('acr/lists'), await statusOf('acr/lists', digests[1] ?? '')], [[], 404]);
    assert.deepEqual((await run('tag', 'list', '--repository', 'acr/lists')).slice(1), []);
  });

  withAcr('a purge of more than a page takes what its dry run says', async () => {
    const words = ['purge', '--filter', 'acr/many:^v', '--ago', '0d', '--keep', '1'];
    const dry = await run(...words, '--dry-run');
    assert(dry.includes('Number of tags to be deleted: 100'), dry.join('\n'));
    assert.equal((await tagsOf('acr/many')).length, 102);
    const lines = await run(...words);
    assert(lines.includes('Number of deleted tags: 100'), lines.join('\n'));
    assert.equal((await tagsOf('acr/many')).length, 2);
  });

  withAcr(
    'what is locked stays, until that is asked for; parts of an index and signatures stay with what they belong to',
    async () => {
      const { server } = bench();
      const [part, loose, locked] = ['part', 'loose', 'locked'].map((seed) => platformImage(seed));
      assert(part !== undefined && loose !== undefined && locked !== undefined);
      const index = sampleIndex([part.image]);
      await pushSample(server, 'acr/families', part, part.image.digest);
      await pushSample(server, 'acr/families', { blobs: [], image: index }, 'multi');
      const signature = platformImage('signature', { subject: descriptorOf(index, index.mediaType) });
      await pushSample(server, 'acr/families', signature, signature.image.digest);
      for (const each of [loose, locked]) await pushSample(server, 'acr/families', each, each.image.digest);
      const lock = await asAdmin(server, 'PATCH', `/acr/v1/acr/families/_manifests/${locked.image.digest}`, {
        body: new TextEncoder().encode('{"deleteEnabled":false}'),
      });
      assert.equal(lock.status, 200);
      const states = async () =>
        await Promise.all(
          [index, part.image, signature.image, loose.image, locked.image].map(({ digest }) =>
            statusOf('acr/families', digest),
          ),
        );
      await run('purge', '--filter', 'acr/families:.*', '--untagged-only');
      assert.deepEqual(await states(), [200, 200, 200, 404, 200]);
      await run('purge', '--filter', 'acr/families:.*', '--untagged-only', '--include-locked');
      assert.deepEqual(await states(), [200, 200, 200, 404, 404]);
    },
  );
});
