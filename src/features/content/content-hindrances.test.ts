import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type ContentBench,
  type ContentProcess,
  contentBench,
  fullAuthority,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleManifest, sampleBlob, sampleImage, sampleIndex } from '../../../test/support/oci-samples.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { parseRegistryName } from '../../core/registry-name.ts';
import type { FindHindrances } from '../access/hindrances.ts';
import { openAccess, type Registry } from '../registries/registry.ts';
import { AttributeChanges } from './attribute-changes.ts';
import { attributeNames } from './attributes.ts';
import { createContentHindrances } from './content-hindrances.ts';
import { Deletions } from './deletions.ts';
import type { Place } from './place.ts';

const me = fullAuthority('me');
const rules = [
  { repositories: '*', tags: 'once-*' },
  { repositories: '*', tags: 'free-*', deletes: 'allowed' },
];

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let here: ContentProcess;
  let attributes: AttributeChanges;
  let deletions: Deletions;
  let find: FindHindrances;
  let registry: Registry;
  let count = 0;

  before(async () => {
    bench = await contentBench(open);
    here = bench.here;
    attributes = new AttributeChanges({ ...here, region: testRegion });
    deletions = new Deletions({ ...here, region: testRegion });
    find = createContentHindrances({ database: bench.database });
    registry = {
      uid: bench.registryUid,
      tenantUid: 'tenant',
      name: parseRegistryName('contoso'),
      resourceKey: '/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/contoso',
      loginServer: 'contoso.berth.test',
      sku: 'Premium',
      isAdminEnabled: false,
      isAnonymousPullEnabled: false,
      ...openAccess,
    };
    await bench.database.transaction((tx) =>
      tx
        .updateTable('registries')
        .set({ immutable_tags: JSON.stringify(rules) })
        .where('uid', '=', bench.registryUid)
        .execute(),
    );
  });
  after(() => bench.folder.remove());

  const image = async (place: Place): Promise<SampleManifest> => {
    const blob = sampleBlob();
    await bench.push(place, blob);
    return sampleImage([blob]);
  };
  const put = (place: Place, { bytes: body, mediaType: contentType }: SampleManifest, reference: string) =>
    here.manifests.push(place, me, { body, contentType, reference: parseReference(reference), tags: [] });
  /** A repository with one image under a tag, and another to push over it. */
  const fresh = async (tag: string) => {
    count += 1;
    const place = bench.place(`app${count}`);
    const [there, next] = [await image(place), await image(place)];
    await put(place, there, tag);
    return { place, there, next };
  };

  type Sample = Awaited<ReturnType<typeof fresh>>;
  type Try = {
    readonly what: string;
    readonly action: 'pull' | 'push' | 'delete';
    readonly isByDigest: boolean;
    readonly run: (sample: Sample, tag: string) => Promise<unknown>;
  };
  const tries: readonly Try[] = [
    {
      what: 'pull by tag',
      action: 'pull',
      isByDigest: false,
      run: ({ place }, tag) => here.manifests.find(place, parseReference(tag), me),
    },
    {
      what: 'pull by digest',
      action: 'pull',
      isByDigest: true,
      run: ({ place, there }) => here.manifests.find(place, parseReference(there.digest), me),
    },
    { what: 'push', action: 'push', isByDigest: false, run: ({ place, next }, tag) => put(place, next, tag) },
    {
      what: 'delete a tag',
      action: 'delete',
      isByDigest: false,
      run: ({ place }, tag) => deletions.tag(place, me, parseTag(tag)),
    },
    {
      what: 'delete a manifest',
      action: 'delete',
      isByDigest: true,
      run: ({ place, there }) => deletions.manifest(place, me, there.digest),
    },
  ];
  const isRefused = async (work: Promise<unknown>): Promise<boolean> => {
    try {
      await work;
      return false;
    } catch (error) {
      if (error instanceof BerthError && ['contentLocked', 'tagImmutable', 'manifestReferenced'].includes(error.error))
        return true;
      throw error;
    }
  };
  /** What is foretold is what happens. */
  const compare = async (what: string, tag: string, change: (sample: Sample) => Promise<unknown>) => {
    for (const each of tries) {
      const sample = await fresh(tag);
      await change(sample);
      const reference = parseReference(each.isByDigest ? sample.there.digest : tag);
      const told = await find({ registry, repository: sample.place.repository, reference, action: each.action });
      const refused = await isRefused(each.run(sample, tag));
      const list = JSON.stringify(told);
      assert.equal(
        told.some(({ isCertain }) => isCertain),
        refused,
        `${what}: ${each.what} ${list}`,
      );
    }
  };

  test('every lock is told where it refuses, and nowhere else', async () => {
    await compare('nothing', 'v1', async () => {});
    for (const name of attributeNames) {
      const off = { [name]: false };
      await compare(`repository ${name}`, 'v1', ({ place }) => attributes.repository(place, me, off));
      await compare(`tag ${name}`, 'v1', ({ place }) => attributes.tag(place, me, parseTag('v1'), off));
      await compare(`manifest ${name}`, 'v1', ({ place, there }) => attributes.manifest(place, me, there.digest, off));
    }
  });

  test('so are rules for immutable tags, and indexes', async () => {
    await compare('a rule', 'once-1', async () => {});
    await compare('a rule that lets delete', 'free-1', async () => {});
    await compare('part of an index', 'v1', async ({ place, there }) => {
      const index = sampleIndex([there]);
      await put(place, index, index.digest);
    });
  });

  test('what may be refused is told apart: a new tag of a rule, and a repository as a whole', async () => {
    const { place } = await fresh('v1');
    const { repository } = place;
    const once = await find({ registry, repository, reference: parseReference('once-2'), action: 'push' });
    assert.deepEqual(
      once.map(({ isCertain, reason }) => [isCertain, reason]),
      [[false, 'it can be pushed once']],
    );
    await attributes.repository(place, me, { deleteEnabled: false });
    const whole = await find({ registry, repository, reference: undefined, action: 'delete' });
    assert.deepEqual(
      whole.map(({ isCertain, remedy }) => [isCertain, remedy]),
      [[false, `Unlock it: az acr repository update -n contoso --repository ${repository} --delete-enabled true.`]],
    );
    const empty = { registry, repository: bench.place('not-there').repository, reference: undefined };
    for (const action of ['pull', 'push', 'delete', 'deleted_restore', 'metadata_write'] as const)
      assert.deepEqual(await find({ ...empty, action }), []);
  });

  test('a full registry takes no push', async () => {
    const { place } = await fresh('v1');
    const ask = (storageLimitBytes: number | undefined, limit = 1) =>
      createContentHindrances({
        database: bench.database,
        storageLimits: { Basic: 1, Standard: 1, Premium: limit },
      })({
        registry: { ...registry, storageLimitBytes },
        repository: place.repository,
        reference: undefined,
        action: 'push',
      });
    assert.match((await ask(undefined)).at(0)?.reason ?? '', /contoso has \d+ bytes in use, and may have 1$/);
    assert.deepEqual(await ask(1_000_000_000), []);
    assert.deepEqual(await ask(undefined, 1_000_000_000), []);
  });
});
